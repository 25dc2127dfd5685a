"""Cataract in three passes over a frame: the veil's map; blur, maxima and sums; the veil, contrast and the rest."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fov.cpu_frames import HALF, NO_LIMIT, box, clear_around, columns_of, enter
from degrade.jit.compiler import inner_kernel, kernel
from degrade.jit.rows import aligned, int32_of
from degrade.jit.threads import take
from degrade.models.cataract import table as at
from degrade.ops.blur_cpu import ROWS, blur, window_for
from degrade.ops.range_cpu import ONE_AS_BITS, largest_bits
from degrade.ops.taps_cpu import taps

Array = NDArray[np.float32]
Sums = NDArray[np.float64]

_ZERO, _ONE = np.float32(0), np.float32(1)
_SIZE, _SIGMA = at.SMOOTHING
LEAST = np.float32(1e-20)
"""Of the largest distance: less is that of a mask that is empty."""
_BAND = 1 << 16  # numbers of a band of rows: a quarter of a mebibyte


@kernel
def cloud_images(
    progress: NDArray[np.int64],
    scratch: Array,
    image: Array,
    patterns: NDArray[np.uint32],
    mask: Array,
    ones: Array,
    weights: Array,
    rows: Array,
    frames: NDArray[np.int64],
    framed: bool,
    boxes: bool,
    out: Array,
) -> None:
    """Degrade images into `out`, until there are none left that no thread has taken.

    Args:
        progress: (2,), 0 at first and the same for all threads: how many images have been taken, and whether there are
            some that may hold more than numbers from 0 to 1.
        scratch: (1, pixels) to write to, pixels of the largest frame; (2 + C, pixels) if `framed`.
        image, patterns: (B, C, H, W), the floats and their bits.
        mask: (B, 1, H, W).
        ones: (1, columns), columns of the widest frame.
        weights: (C,) of the channels in the luma.
        rows: the packed parameters, (B, columns).
        frames: (B, 4), left, top, width and height of each image's frame.
        framed: whether images are cut to their frames, black outside the mask; else each frame is the whole image.
        boxes: whether the frames are still to be found from the masks.
        out: (B, C, H, W).
    """
    zero: Any = np.int64(0)  # a plain 0 would have every callee compiled twice
    batch, channels, image_height, image_width = image.shape
    while True:
        i = take(progress)
        if i >= batch:
            return
        row = rows[i]
        if boxes:
            box(mask[i, 0], frames[i])
        left, top, width, height = frames[i, 0], frames[i, 1], frames[i, 2], frames[i, 3]
        whole = left == 0 and top == 0 and width == image_width and height == image_height
        memory = out[i].reshape(-1) if whole else scratch[2:].reshape(-1)
        picture = memory[: channels * height * width].reshape(channels, height, width)
        veil = scratch[0, : height * width].reshape(1, height, width)
        source, field = image[i], mask[i]
        if framed:
            source, field = picture, scratch[1, : height * width].reshape(1, height, width)
            enter(mask[i], mask[i, 0], NO_LIMIT, left, top, zero, height, field)
        thickest, thickness = draw_veil(row, field[0], veil)
        side, sigma = min(height, width), row[at.BLUR_SIGMA]
        x_half, y_half = taps(row[at.BLUR_KERNEL], sigma, side), taps(row[at.BLUR_KERNEL + 1], sigma, side)
        acts = len(x_half) > 1 or len(y_half) > 1
        seen = picture if acts else source
        brightest, totals = np.empty(channels, np.float32), np.empty(2 * channels)
        window, most = window_for(channels, width, y_half), np.uint32(0)
        ready = zero
        band = max(_BAND // (channels * width) // ROWS, 1) * ROWS
        for begin in range(0, height, band):
            end = min(begin + band, height)
            needed = min(end + len(y_half) - 1, height)
            first = max(ready + top, zero) if ready > 0 else zero  # numbers beside the frame count too
            last = min(needed + top, image_height) if needed < height else image_height
            most = max(most, largest_bits(patterns[i], first, last))
            if framed:
                enter(image[i], mask[i, 0], HALF, left, top, ready, needed, source)
            ready = needed
            if acts:
                blur(source, x_half, y_half, ones, picture, begin, end, window, zero, zero)
            add_up(seen, veil[0], begin, end, brightest, totals)
        if most > ONE_AS_BITS:
            progress[1] = 1
        density = row[at.VEIL] / max(thickest, LEAST)
        mean = mean_luma(row[at.TRANSMISSION], density, thickness, brightest, totals, weights) / (height * width)
        _finish(seen, veil[0], field[0], left, top, row, density, np.float32(mean), brightest, weights, out[i])
        if not whole:
            clear_around(out[i], left, top, width, height)


@inner_kernel
def center_of(row: Array, height: int, width: int) -> tuple[float, float, np.float32]:
    """Where the veil is thinnest, in pixels, and the scale on which no distance from there is more than 1."""
    x, y = row[at.VEIL_CENTER] * float(width) - 0.5, row[at.VEIL_CENTER + 1] * float(height) - 0.5
    farthest = math.hypot(max(abs(x), abs(width - 1 - x)) + 1, max(abs(y), abs(height - 1 - y)) + 1)
    return x, y, np.float32(1 / farthest)


@inner_kernel
def smoothing_of(side: int) -> Array:
    """The taps of the distance map's blur."""
    return taps(np.float32(_SIZE), np.float32(_SIGMA), side)


@inner_kernel
def draw_veil(row: Array, mask: Array, veil: Array) -> tuple[np.float32, float]:
    """The distance to a point, smoothed, times the mask, on the scale of `center_of`, into `veil`.

    Returns its maximum and its sum.
    """
    planes, height, width = veil.shape
    half = smoothing_of(min(height, width))
    reach = len(half) - 1
    window = window_for(planes, width, half)
    band = max(_BAND // width // ROWS, 1) * ROWS
    x, y, scale = center_of(row, height, width)  # what is blurred must be at most 1
    least, squares = np.float32(1e-12) * scale * scale, np.empty(width, np.float32)
    thickest, totals = np.empty(planes, np.float32), np.empty(2 * planes)
    for j in range(width):
        squares[j] = (np.float32(j) - np.float32(x)) * scale
        squares[j] *= squares[j]
    ready = 0
    for begin in range(0, height, band):
        end = min(begin + band, height)
        needed = min(end + reach, height)
        for i in range(ready, needed):
            dy = (np.float32(i) - np.float32(y)) * scale
            square, line = dy * dy, veil[0, i]
            for j in range(width):
                line[j] = math.sqrt(max(squares[j] + square, least))
        ready = needed
        blur(veil, half, half, mask, veil, begin, end, window, np.int64(0), np.int64(0))
        add_up(veil, veil[0], begin, end, thickest, totals)
    return thickest[0], totals[0]


@inner_kernel
def add_up(image: Array, veil: Array, begin: int, end: int, brightest: Array, totals: Sums) -> None:
    """Of the rows begin to end - 1 of an image (C, H, W): each channel's maximum, its sum, and that of it times `veil`.

    Args:
        image: from 0 up: the bits of its numbers are in the numbers' order, and a loop over these is vectorised.
        veil: (H, W).
        brightest: (C,) the maxima of the rows before, which those of these are added to; the first set it.
        totals: (2 C,) the sums, likewise.
    """
    for c in range(len(image)):
        if begin == 0:
            brightest[c], totals[2 * c], totals[2 * c + 1] = _ZERO, 0.0, 0.0
        most = int32_of(brightest)[c]
        for i in range(begin, end):
            line, thick, bits = image[c, i], veil[i], int32_of(image[c, i])
            plain, veiled = _ZERO, _ZERO
            for j in range(len(line)):
                most = max(most, bits[j])
                plain += line[j]
                veiled += line[j] * thick[j]
            totals[2 * c] += float(plain)
            totals[2 * c + 1] += float(veiled)
        int32_of(brightest)[c] = most


@inner_kernel
def mean_luma(
    transmission: np.float32, density: np.float32, thickness: float, brightest: Array, totals: Sums, weights: Array
) -> float:
    """The luma, summed over the pixels, of what `cloud` makes, which with a mask from 0 up has nothing to clip.

    Args:
        transmission, density: as `cloud` has them.
        thickness: the sum of the veil's map.
        brightest, totals: from `add_up`.
        weights: (C,) of the channels in the luma.
    """
    total = 0.0
    for c in range(min(len(weights), 3)):  # as no loop over more is compiled then
        towards = float(brightest[c]) * thickness - totals[2 * c + 1]
        total += float(weights[c]) * (float(transmission) * totals[2 * c] + float(density) * towards)
    return total


@inner_kernel
def cloud(x: Any, thick: Any, transmission: np.float32, density: np.float32, brightest: np.float32) -> Any:
    """clip(T x + p v (max(x) - x)), p times v the `density` times `thick`."""
    return min(max(transmission * x + density * thick * (brightest - x), _ZERO), _ONE)


@inner_kernel
def _finish(
    image: Array,
    veil: Array,
    mask: Array,
    left: Any,
    top: Any,
    row: Array,
    density: np.float32,
    mean: np.float32,
    brightest: Array,
    weights: Array,
    out: Array,
) -> None:
    """Veil, contrast, brightness, saturation and mask, from the blurred frame into its place in the result.

    Args:
        image: (C, h, w), which may be `out`.
        veil, mask: (h, w).
        left, top: of the frame in the result.
        row: the packed parameters.
        density, mean: of the veil, and the mean luma with it.
        brightest, weights: (C,) the maximum of each channel, and what it weighs in the luma.
        out: (C, H, W).
    """
    channels, height, width = image.shape
    transmission, contrast = row[at.TRANSMISSION], row[at.CONTRAST]
    brightness, saturation = row[at.BRIGHTNESS], row[at.SATURATION]
    first, last, start, begin = columns_of(left, width, out.shape[2])
    held = aligned(channels + 1, width)  # in cache, and no part of other arrays: what is vectorised
    luma = held[channels]
    for i in range(max(-top, 0), min(height, out.shape[1] - top)):
        thick, inside = veil[i], mask[i]
        for j in range(width):
            luma[j] = _ZERO
        for c in range(channels):
            line, to, most, weight = image[c, i], held[c], brightest[c], weights[c]
            for j in range(width):
                x = mean + contrast * (cloud(line[j], thick[j], transmission, density, most) - mean)
                x = min(brightness * min(max(x, _ZERO), _ONE), _ONE)
                to[j] = x
                luma[j] += weight * x
        for c in range(channels):
            line, to = held[c], out[c, i + top]
            for j in range(last - first):
                k = start + np.uint64(j)
                x = luma[k] + saturation * (line[k] - luma[k])
                to[begin + np.uint64(j)] = min(max(x, _ZERO), _ONE) * inside[k]
