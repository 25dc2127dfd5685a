"""The blur of `degrade.fundus.stages` over rows of one image (C, H, W), several taps in each pass over a row.

A sum of many taps is bound by loads and stores: two pairs of taps a pass store the sum half as often as one.
"""

from __future__ import annotations

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from degrade.numba.jit import kernel

Array = NDArray[np.float32]

_ONE = np.float32(1)


@kernel
def blur(
    image: Array, x_half: Array, y_half: Array, mask: Array, out: Array, begin: int, end: int, window: Array
) -> None:
    """clip(G(x)) times the mask (H, W), borders reflected, into rows begin to end - 1 of `out`, which may be `image`.

    All arrays are float32 and C-contiguous; `x_half` and `y_half` are the taps of one half of the kernel, centre first.
    `window`, (C, N, at least W), N rows as many as the kernel has along y, is the same for all rows of an image, which
    come in order: it holds the rows of the image that are still to be read.
    """
    channels, height, width = image.shape
    reach, below = len(x_half) - 1, len(y_half) - 1
    padded = np.empty(width + 2 * reach, np.float32)
    middle = padded[reach : reach + width]
    for c in range(channels):
        plane, held = image[c], window[c]
        for row in range(begin, end):
            for new in range(row + below if row else 0, min(row + below + 1, height)):
                place = new % len(held)
                for j in range(width):
                    held[place, j] = plane[new, j]
            _down(held, row, height, y_half, middle)
            for j in range(1, reach + 1):
                padded[reach - j] = padded[reach + j]
                padded[reach + width - 1 + j] = padded[reach + width - 1 - j]
            line = out[c, row]
            _across(padded, x_half, line)
            for j in range(width):
                line[j] = min(line[j], _ONE) * mask[row, j]  # weights add to 1, rounding goes beyond


@register_jitable(inline="always")  # called, it would cost as much as a pass over a short row
def _down(held: Array, row: int, height: int, half: Array, out: Array) -> None:
    """The blur along y of one row, into `out` (W,)."""
    width, count = len(out), len(held)
    reach = len(half) - 1
    middle = row % count
    if reach >= 2:
        center, first, second = half[0], half[1], half[2]
        a, b = _mirrored(row - 1, height) % count, _mirrored(row + 1, height) % count
        c, d = _mirrored(row - 2, height) % count, _mirrored(row + 2, height) % count
        for j in range(width):
            near, far = held[a, j] + held[b, j], held[c, j] + held[d, j]
            out[j] = center * held[middle, j] + first * near + second * far
    else:
        for j in range(width):
            out[j] = half[0] * held[middle, j]
    for lag in range(3 if reach >= 2 else 1, reach + 1, 2):
        a, b = _mirrored(row - lag, height) % count, _mirrored(row + lag, height) % count
        if lag == reach:
            for j in range(width):
                out[j] += half[lag] * (held[a, j] + held[b, j])
        else:
            first, second = half[lag], half[lag + 1]
            c, d = _mirrored(row - lag - 1, height) % count, _mirrored(row + lag + 1, height) % count
            for j in range(width):
                out[j] += first * (held[a, j] + held[b, j]) + second * (held[c, j] + held[d, j])


@register_jitable(inline="always")
def _across(padded: Array, half: Array, out: Array) -> None:
    """The blur along x of a row with as many more pixels at either end as the kernel reaches, into `out` (W,)."""
    width, reach = len(out), len(half) - 1
    middle = padded[reach:]
    if reach >= 2:
        center, first, second = half[0], half[1], half[2]
        a, b, c, d = padded[reach - 1 :], padded[reach + 1 :], padded[reach - 2 :], padded[reach + 2 :]
        for j in range(width):
            out[j] = center * middle[j] + first * (a[j] + b[j]) + second * (c[j] + d[j])
    else:
        for j in range(width):
            out[j] = half[0] * middle[j]
    for lag in range(3 if reach >= 2 else 1, reach + 1, 2):
        a, b = padded[reach - lag :], padded[reach + lag :]
        if lag == reach:
            for j in range(width):
                out[j] += half[lag] * (a[j] + b[j])
        else:
            first, second, c, d = half[lag], half[lag + 1], padded[reach - lag - 1 :], padded[reach + lag + 1 :]
            for j in range(width):
                out[j] += first * (a[j] + b[j]) + second * (c[j] + d[j])


@kernel
def _mirrored(index: int, length: int) -> int:
    if index < 0:
        return -index
    return index if index < length else 2 * (length - 1) - index
