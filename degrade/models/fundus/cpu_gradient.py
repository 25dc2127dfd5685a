"""The Cofe-Net degradations of a batch on a CPU with gradients: the loops of `cpu`, and loops for the way back.

What a stage was given is made again, one image at a time, a thread to each core. An image's derivatives are the same
alone and in any batch, with any number of threads.
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
from degrade.fov.cpu_frames import frames_of
from degrade.fov.cpu_gradient import back_in_frame
from degrade.gradients import Back, Definition, Derivatives, with_gradients
from degrade.jit.threads import share, threads_for
from degrade.memory import Planes, empty
from degrade.models.fundus import cpu
from degrade.models.fundus import cpu_gradient_images as loops
from degrade.models.fundus import table as at
from degrade.models.fundus.constants import BLUR, ILLUMINATION, SPOTS
from degrade.models.fundus.cpu_gradient_spots import add_spots, spots_adjoint
from degrade.rng.streams import stream_words
from degrade.settings import ends

Array = NDArray[Any]

_BACKWARDS = Operation("gradients of fundus", cpu="degrade.models.fundus.cpu_gradient:backwards")
_LIGHT = {"colour", "halo", "hole"}


def degrade(definition: Definition, call: Call) -> Tensor:
    """`cpu.degrade` with derivatives; second ones are the definition's."""
    return with_gradients(cpu.degrade, _BACKWARDS, definition, call)


def backwards(back: Back) -> Derivatives:
    """The derivatives in images and parameters, by loops."""
    call = back.call
    batch, _, height, width = call.image.shape
    pictures, masks, rows = call.arrays()
    to_rows = np.zeros(rows.shape)
    to_images = empty(call.image.shape, torch.float32) if back.image_too else None
    if batch:
        frames = frames_of(call.frame, batch, height, width)
        batch_of = _Batch(call, back.names, pictures, masks, rows, frames, to_rows)
        scratch = empty((threads_for(batch), batch_of.numbers()), torch.float32).numpy()
        gradient, turns = back.gradient.detach().to(torch.float32).numpy(), itertools.count()

        def work(thread: int) -> None:
            while (i := next(turns)) < batch:
                batch_of.back(i, gradient[i], None if to_images is None else to_images[i].numpy(), scratch[thread])

        share(work, len(scratch))
    return to_images, *back.of_rows(torch.from_numpy(to_rows))


class _Batch:
    """The images of a call, and the derivatives in their packed rows, `to_rows`, which are added to."""

    def __init__(
        self,
        call: Call,
        names: tuple[str, ...],
        images: Array,
        masks: Array,
        rows: Array,
        frames: Array,
        to_rows: Array,
    ) -> None:
        assert call.packed is not None
        self.images, self.masks, self.rows, self.frames, self.to_rows = images, masks, rows, frames, to_rows
        self.framed, self.boxes = call.frame is not None, isinstance(call.frame, str)
        self.wanted = {at.PARAMETERS[name].stage for name in names}
        self.spots, self.softness = call.packed.count, ends(call.settings["softness"])[0]
        self.fixed = (not call.settings["exact"], cpu.weights(), self.softness)
        self.noisy = call.largest()["noise"] != 0

    def numbers(self) -> int:
        """How many numbers the planes for one image take at most."""
        channels, *size = self.images.shape[1:]
        frame = int(self.frames[:, 2:].prod(1).max())
        return int((5 * channels + 3) * frame + channels * size[0] * size[1])

    def back(self, i: int, gradient: Array, out: Array | None, scratch: Array) -> None:
        """From the derivatives in degraded image number i to those in its row, and in the image, into `out`.

        `scratch` holds as many numbers as `numbers` says.
        """
        row, to_row, frame = self.rows[i], self.to_rows[i], self.frames[i]
        image, mask, planes = self.images[i], self.masks[i, 0], Planes(scratch)
        if self.boxes:
            loops.frame_of(mask, frame)

        def stages(source: Array, area: float, g: Array) -> None:
            words = self.rows.view(np.uint32)[i]
            self._stages(row, words, area, source, g, planes, out is not None, to_row)

        back_in_frame(image, mask, gradient, frame, self.framed, planes, out, stages)

    def _stages(
        self,
        row: Array,
        words: Array,
        area: float,
        source: Array,
        g: Array,
        planes: Planes,
        image_too: bool,
        to_row: Array,
    ) -> None:
        """From the derivatives behind all stages, `g`, to those in `source`, in place, and in the parameters."""
        bits, shape = int(row[at.TYPE]), source.shape
        lit, lines = source, planes(shape[1:])
        if bits & ILLUMINATION:
            colored, lit = planes(shape), planes(shape)
            fields = planes((2, *shape[1:]))
            made = loops.illuminate(source, row, area, *self.fixed, lines, fields, colored, lit)
        if bits & SPOTS:
            if not bits & ILLUMINATION:
                lit = planes(shape)
                np.copyto(lit, source)
            add_spots(lit, row, self.spots, self.softness)
        if bits & BLUR:
            if self.noisy and (row[at.NOISE] != 0 or "noise" in self.wanted):
                blurred = planes(shape)
                loops.blurred(lit, row, blurred)
                loops.noise_adjoint(blurred, row, words, stream_words("pixel"), g, to_row)
            loops.optics_adjoint(lit, row, "blur" in self.wanted, g, lines, to_row)
        if bits & SPOTS and (image_too or self.wanted & {"spots", *_LIGHT}):
            spots_adjoint(lit, row, self.spots, self.softness, "spots" in self.wanted, g, to_row)
        if bits & ILLUMINATION and (image_too or self.wanted & _LIGHT):
            shapes = "halo" in self.wanted, "hole" in self.wanted
            loops.illumination_adjoint(source, colored, row, area, self.softness, *made, *shapes, g, to_row)
