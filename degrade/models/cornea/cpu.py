"""The cornea model of a batch on a CPU without gradients: one image at a time, a thread to each core.

Illumination and blur are one pass over an image, the noise another, in place: no memory but the result, and the rows
that the blur still needs. An image's numbers are the same alone and in any batch, with any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from degrade.call import Call
from degrade.checks import check_values
from degrade.jit.threads import share, threads_for
from degrade.memory import empty
from degrade.models.cornea import table
from degrade.models.cornea.cpu_images import illuminate_and_blur
from degrade.models.poisson_gaussian.cpu import add_noise

Array = np.ndarray[Any, np.dtype[Any]]


def degrade(call: Call) -> Tensor:
    """`Cornea._define`: new float32 tensor (B, C, H, W).

    ValueError for images that are not in [0, 1].
    """
    batch, _, height, width = call.image.shape
    result = empty(call.image.shape, torch.float32)
    if not batch:
        return result
    pictures, _, rows = call.arrays()
    out = result.numpy()
    places = places_of(width), places_of(height), np.ones((1, width), np.float32)
    progress = np.zeros(2, np.int64)
    work: Any = (pictures, pictures.view(np.uint32), rows, *places, out)
    share(lambda _: illuminate_and_blur(progress, *work), threads_for(batch))
    if progress[1]:
        check_values(call.image)
    flat = out.reshape(batch, -1)
    add_noise(flat, flat, *noise_of(rows), True)
    return result


def noise_of(rows: Array) -> tuple[Array, Array, Array]:
    """Photons at image value 1, sigma on the image's scale and keys as uint64, (B,) each, of packed rows."""
    photons = np.multiply(rows[:, table.ETA], table.LEVELS, dtype=np.float32)
    sigma = np.divide(rows[:, table.SIGMA], table.LEVELS, dtype=np.float32)
    keys = np.ascontiguousarray(rows[:, table.NOISE_KEY : table.NOISE_KEY + 2]).view(np.uint64)[:, 0]
    return photons, sigma, np.ascontiguousarray(keys)


def places_of(length: int) -> Array:
    """The centers of pixels, from -1 to 1 between the frame's edges."""
    numbers = (np.arange(length, dtype=np.float32) + np.float32(0.5)) * np.float32(2 / length) - np.float32(1)
    return numbers.astype(np.float32)
