"""The Cofe-Net degradations of a batch on a CPU without gradients: one image at a time, a thread to each core.

Loops that need no memory but a few planes, kept from image to image. An image's numbers are the same alone and in any
batch, with any number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.call import Call
from degrade.checks import check_values
from degrade.fov.cpu_frames import frames_of
from degrade.jit.threads import share, threads_for
from degrade.memory import empty
from degrade.models.fundus.cpu_images import degrade_images
from degrade.ops.interpolation import weights_between
from degrade.rng.streams import stream_words
from degrade.settings import ends


def degrade(call: Call) -> Tensor:
    """`Fundus._define`: new float32 tensor (B, C, H, W).

    ValueError for images that are not in [0, 1].
    """
    batch, channels, height, width = call.image.shape
    out = empty(call.image.shape, torch.float32)
    if not batch:
        return out
    pictures, masks, rows = call.arrays()
    assert call.packed is not None
    threads = threads_for(batch)
    frames = frames_of(call.frame, batch, height, width)
    pixels = int((frames[:, 2] * frames[:, 3]).max())
    scratch = empty((threads, 2 if call.frame is None else 2 + channels, pixels), torch.float32).numpy()
    progress = np.zeros(2, np.int64)
    work: Any = (pictures, pictures.view(np.uint32), masks, out.numpy(), rows, rows.view(np.uint32), call.packed.count)
    where: Any = (frames, call.frame is not None, isinstance(call.frame, str))
    softness = ends(call.settings["softness"])[0]
    fixed: Any = (softness, not call.settings["exact"], weights(), stream_words("pixel"))
    share(lambda thread: degrade_images(progress, scratch[thread], *work, *where, *fixed), threads)
    if progress[1]:
        check_values(call.image)
    return out


@functools.cache
def weights() -> NDArray[np.float32]:
    """`weights_between` of the steps 1, 2, 4, ..., 128."""
    weights = np.zeros((8, 128, 6), np.float32)
    for power in range(len(weights)):
        weights[power, : 1 << power] = weights_between(1 << power).numpy()
    return weights
