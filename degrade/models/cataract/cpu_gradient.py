"""The cataract model of a batch on a CPU with gradients: the loops of `cpu`, and loops for the way back.

What a stage was given is computed again, one image at a time, a thread to each core. An image's derivatives are the
same alone and in any batch, with any number of threads.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.backend import Operation
from degrade.call import Call
from degrade.fov.cpu_gradient import back_in_frame
from degrade.fov.frame import of_mask
from degrade.gradients import Back, Definition, Derivatives, with_gradients
from degrade.jit.threads import share, threads_for
from degrade.memory import Planes, empty
from degrade.models.cataract import cpu, table
from degrade.models.cataract import cpu_gradient_images as loops

Array = NDArray[Any]

_BACKWARDS = Operation("gradients of cataract", cpu="degrade.models.cataract.cpu_gradient:backwards")


def degrade(definition: Definition, call: Call) -> Tensor:
    """`cpu.degrade` with derivatives; second ones are the definition's."""
    return with_gradients(cpu.degrade, _BACKWARDS, definition, call)


def backwards(back: Back) -> Derivatives:
    """The derivatives in images and parameters, by loops."""
    call = back.call
    batch, channels, height, width = call.image.shape
    images, masks, rows = call.arrays()
    to_rows = np.zeros(rows.shape)
    to_images = empty(call.image.shape, torch.float32) if back.image_too else None
    if batch:
        frames = _frames(call)
        gradient, turns = back.gradient.detach().to(torch.float32).numpy(), itertools.count()
        largest = max(frame[2] * frame[3] for frame in frames)
        numbers = (4 * channels + 4) * largest + channels * height * width
        scratch = empty((threads_for(batch), numbers), torch.float32).numpy()
        stages = {table.PARAMETERS[name].stage for name in back.names}

        def work(thread: int) -> None:
            while (i := next(turns)) < batch:
                planes = Planes(scratch[thread])

                def through(source: Array, area: float, g: Array, i: int = i, planes: Planes = planes) -> None:
                    inside = _cut(masks[i, 0], frames[i], planes)
                    _through(source, inside, rows[i], stages, back.image_too, planes, g, to_rows[i])

                out = None if to_images is None else to_images[i].numpy()
                framed = call.frame is not None
                back_in_frame(images[i], masks[i, 0], gradient[i], frames[i], framed, planes, out, through)

        share(work, len(scratch))
    return to_images, *back.of_rows(torch.from_numpy(to_rows))


def _frames(call: Call) -> list[list[int]]:
    """Left, top, width and height of each frame."""
    batch, _, height, width = call.image.shape
    if call.frame is None:
        return [[0, 0, width, height]] * batch
    assert call.mask is not None
    frames: list[list[int]] = (of_mask(call.mask) if isinstance(call.frame, str) else call.frame).tolist()
    return frames


def _cut(mask: Array, frame: list[int], planes: Planes) -> Array:
    """The frame's part of a mask (H, W), 0 beyond it."""
    left, top, width, height = frame
    if frame == [0, 0, *mask.shape[::-1]]:
        return mask
    part = planes((height, width))
    part[:] = 0
    rows, columns = (slice(max(first, 0), max(first + size, 0)) for first, size in ((top, height), (left, width)))
    seen = mask[rows, columns]
    first = max(-top, 0), max(-left, 0)
    part[first[0] : first[0] + seen.shape[0], first[1] : first[1] + seen.shape[1]] = seen
    return part


def _through(
    image: Array, mask: Array, row: Array, stages: set[str], image_too: bool, planes: Planes, g: Array, to_row: Array
) -> None:
    """From the derivatives in a frame's degraded image before the mask, `g`, to those in the image, and in its row."""
    veil, blurred, clouded = planes((1, *mask.shape)), planes(image.shape), planes(image.shape)
    weights = cpu.luma_weights(len(image))
    made = loops.clouded(image, mask, row, weights, veil, blurred, clouded)
    loops.cloud_adjoint(
        image,
        mask,
        row,
        weights,
        clouded,
        *made,
        "veil" in stages,
        image_too or "blur" in stages,
        "blur" in stages,
        veil,
        planes((1, *mask.shape)),
        planes(mask.shape),
        g,
        to_row,
    )
