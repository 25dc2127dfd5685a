"""Illumination and blur of corneal images, a band of rows at a time: what the blur reads has just been written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, kernel
from degrade.jit.threads import take
from degrade.models.cornea import table as at
from degrade.ops.blur_cpu import ROWS, blur, window_for
from degrade.ops.constants import REFERENCE_SIDE
from degrade.ops.range_cpu import ONE_AS_BITS, largest_bits
from degrade.ops.taps_cpu import taps

Array = NDArray[np.float32]

_ZERO, _ONE = np.float32(0), np.float32(1)
_REACH, _ONE_TAP = np.float32(at.REACH), np.float32(1 / REFERENCE_SIDE)
_BAND = 1 << 16  # numbers of a band of rows: a quarter of a mebibyte


@kernel
def illuminate_and_blur(
    progress: NDArray[np.int64],
    image: Array,
    patterns: NDArray[np.uint32],
    rows: Array,
    x: Array,
    y: Array,
    inside: Array,
    out: Array,
) -> None:
    """clip(G(clip(gain x + haze))) of images into `out`, until there are none left that no thread has taken.

    Args:
        progress: (2,), 0 at first and the same for all threads: how many images have been taken, and whether there are
            some that may hold more than numbers from 0 to 1.
        image, patterns: (B, C, H, W), the floats and their bits.
        rows: the packed parameters, (B, columns).
        x, y: (W,) and (H,), the pixels' places from -1 to 1.
        inside: (1, W) ones.
        out: (B, C, H, W).
    """
    batch, channels, height, width = image.shape
    band = max(_BAND // (channels * width) // ROWS, 1) * ROWS
    side = min(height, width)
    while True:
        i = take(progress)
        if i >= batch:
            return
        sigma = rows[i, at.BLUR_SIGMA]
        half = taps(kernel_of(sigma), sigma, side)
        window = window_for(channels, width, half)
        ready, most = 0, np.uint32(0)
        for begin in range(0, height, band):
            end = min(begin + band, height)
            needed = min(end + len(half) - 1, height)
            most = max(most, largest_bits(patterns[i], ready, needed))
            illuminate(image[i], rows[i], x, y, out[i], ready, needed)
            ready = needed
            if len(half) > 1:
                blur(out[i], half, half, inside, out[i], begin, end, window, np.int64(0), np.int64(0))
        if most > ONE_AS_BITS:
            progress[1] = 1


@inner_kernel
def kernel_of(sigma: Any) -> Any:
    """Size of the blur's kernel, a fraction of the side."""
    return _REACH * sigma + _ONE_TAP


@inner_kernel
def illuminate(image: Array, row: Array, x: Array, y: Array, out: Array, begin: int, end: int) -> None:
    """clip(gain x + haze) of the rows begin to end - 1; along a row, both surfaces are quadratic in x."""
    low, haze = row[at.GAIN_LOW], row[at.HAZE]
    rise = row[at.GAIN_HIGH] - low
    p, q = row[at.GAIN_SHAPE : at.GAIN_SHAPE + 6], row[at.HAZE_SHAPE : at.HAZE_SHAPE + 6]
    for c in range(image.shape[0]):
        for i in range(begin, end):
            v = y[i]
            gain0, gain1, gain2 = low + rise * (p[0] + v * (p[2] + p[5] * v)), rise * (p[1] + p[4] * v), rise * p[3]
            haze0, haze1, haze2 = haze * (q[0] + v * (q[2] + q[5] * v)), haze * (q[1] + q[4] * v), haze * q[3]
            line, to = image[c, i], out[c, i]
            for j in range(len(line)):
                u = x[j]
                gain, added = gain0 + u * (gain1 + u * gain2), haze0 + u * (haze1 + u * haze2)
                to[j] = min(max(gain * line[j] + added, _ZERO), _ONE)
