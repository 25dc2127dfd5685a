"""The blur of `degrade.models.fundus.reference` over rows of one image (C, H, W), four rows and several taps at a time.

A sum of many taps is bound by loads and stores, and by what it takes to begin a loop. Along y, four rows of the image
go into four of the result in each pass, a banded matrix product. Along x, four rows are one long row, and three pairs
of taps are added in each pass.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inlined_kernel, inner_kernel, kernel, loop_kernel
from degrade.jit.rows import LINE, aligned

Array = NDArray[np.float32]

_ONE = np.float32(1)
ROWS = 4
"""Rows at a time."""


@kernel
def window_for(channels: int, width: int, y_half: Array) -> Array:
    """What `blur` needs to hold the rows in that are still to be read."""
    rows, columns = 2 * (len(y_half) - 1) + ROWS, (width // LINE + 2) * LINE
    return aligned(channels * rows, columns).reshape(channels, rows, columns)


@loop_kernel
def blur(
    image: Array,
    x_half: Array,
    y_half: Array,
    mask: Array,
    out: Array,
    begin: int,
    end: int,
    window: Array,
    left: Any,
    top: Any,
) -> None:
    """clip(G(x)) times the mask, borders reflected, of the rows begin to end - 1, into `out`, which may be `image`.

    The image's first pixel goes to (`left`, `top`) in `out`; what would lie outside of `out` is left out.

    The mask is that of `out`: (H, W), or (1, W) where all rows have the same.
    All arrays are float32 and C-contiguous; `x_half` and `y_half` are the taps of one half of the kernel, center first.
    `window`, from `window_for`, is the same for all rows of an image, which come in order.
    """
    channels, height, width = image.shape
    reach, below = len(x_half) - 1, len(y_half) - 1
    lags = max((reach + 2) // 3, 1) * 3  # those that are added in threes
    taps = np.zeros(lags + 1, np.float32)
    for lag in range(reach + 1):
        taps[lag] = x_half[lag]
    factors = factors_of(y_half)
    stride, margin = ((width + 2 * lags) // LINE + 1) * LINE, (lags // LINE + 1) * LINE
    padded = aligned(np.int64(1), margin + ROWS * stride)[0]  # after each row its right margin and the next one's left
    for j in range(len(padded)):  # what is between the margins is added up too, and must be a number
        padded[j] = 0
    middle, sums = padded[margin:].reshape(ROWS, stride), aligned(np.int64(ROWS), stride)
    places = np.empty(factors.shape[1], np.int64)
    # unsigned: Numba takes an index below 0 for one from the end, which keeps loops from being vectorised
    first_column, last_column = min(max(-left, 0), width), max(min(out.shape[2] - left, width), 0)
    first_in_image, first_in_out = np.uint64(first_column), np.uint64(max(first_column + left, 0))
    for c in range(channels):
        plane, held = image[c], window[c]
        for row in range(begin, end, ROWS):
            count = min(ROWS, end - row)
            last = row + count - 1 + below
            for new in range(row + below if row else 0, min(last + 1, height)):
                place = new % len(held)
                for j in range(width):
                    held[place, j] = plane[new, j]
            for k in range(len(places)):
                places[k] = mirrored(min(row - below + k, last), height) % len(held)
            down(held, places, factors, width, middle)
            for i in range(count):
                edge = margin + i * stride
                for j in range(1, reach + 1):
                    padded[edge - j] = padded[edge + j]
                    padded[edge + width - 1 + j] = padded[edge + width - 1 - j]
            across(padded[margin - lags :], taps, sums.reshape(-1)[: ROWS * stride - lags])
            for i in range(count):
                at = row + i + top
                if 0 <= at < out.shape[1]:
                    inside, to, blurred = mask[at % len(mask)], out[c, at], sums[i]
                    for j in range(last_column - first_column):  # weights add to 1, rounding goes beyond
                        pixel = first_in_out + np.uint64(j)
                        to[pixel] = min(blurred[first_in_image + np.uint64(j)], _ONE) * inside[pixel]


@inner_kernel
def factors_of(half: Array) -> Array:
    """(ROWS, N): what each row of the image, from the first that is needed on, weighs in each row of the result."""
    reach = len(half) - 1
    factors = np.zeros((ROWS, (2 * reach + ROWS + 3) // 4 * 4), np.float32)
    for i in range(ROWS):
        for lag in range(-reach, reach + 1):
            factors[i, reach + i + lag] = half[abs(lag)]
    return factors


@inlined_kernel
def down(held: Array, places: NDArray[np.int64], factors: Array, width: int, out: Array) -> None:
    """The blur along y: the products of `factors` with the rows of `held` at `places`, into `out` (ROWS, >= W)."""
    for k in range(0, len(places), 4):
        a, b, c, d = places[k], places[k + 1], places[k + 2], places[k + 3]
        p0, p1, p2, p3 = factors[0, k], factors[0, k + 1], factors[0, k + 2], factors[0, k + 3]
        q0, q1, q2, q3 = factors[1, k], factors[1, k + 1], factors[1, k + 2], factors[1, k + 3]
        r0, r1, r2, r3 = factors[2, k], factors[2, k + 1], factors[2, k + 2], factors[2, k + 3]
        s0, s1, s2, s3 = factors[3, k], factors[3, k + 1], factors[3, k + 2], factors[3, k + 3]
        if k == 0:
            for j in range(width):
                w, x, y, z = held[a, j], held[b, j], held[c, j], held[d, j]
                out[0, j] = p0 * w + p1 * x + p2 * y + p3 * z
                out[1, j] = q0 * w + q1 * x + q2 * y + q3 * z
                out[2, j] = r0 * w + r1 * x + r2 * y + r3 * z
                out[3, j] = s0 * w + s1 * x + s2 * y + s3 * z
        else:
            for j in range(width):
                w, x, y, z = held[a, j], held[b, j], held[c, j], held[d, j]
                out[0, j] += p0 * w + p1 * x + p2 * y + p3 * z
                out[1, j] += q0 * w + q1 * x + q2 * y + q3 * z
                out[2, j] += r0 * w + r1 * x + r2 * y + r3 * z
                out[3, j] += s0 * w + s1 * x + s2 * y + s3 * z


@inlined_kernel
def across(padded: Array, half: Array, out: Array) -> None:
    """The blur along x of a row, into `out`; it has as many more pixels at either end as `half` has lags: 3, 6, ..."""
    width, reach = len(out), len(half) - 1
    middle = padded[reach:]
    for lag in range(1, reach, 3):
        center, first, second, third = half[0], half[lag], half[lag + 1], half[lag + 2]
        a, b, c = padded[reach - lag :], padded[reach - lag - 1 :], padded[reach - lag - 2 :]
        d, e, f = padded[reach + lag :], padded[reach + lag + 1 :], padded[reach + lag + 2 :]
        if lag == 1:
            for j in range(width):
                pairs = first * (a[j] + d[j]) + second * (b[j] + e[j]) + third * (c[j] + f[j])
                out[j] = center * middle[j] + pairs
        else:
            for j in range(width):
                out[j] += first * (a[j] + d[j]) + second * (b[j] + e[j]) + third * (c[j] + f[j])


@inner_kernel
def mirrored(index: int, length: int) -> int:
    if index < 0:
        return -index
    return index if index < length else 2 * (length - 1) - index
