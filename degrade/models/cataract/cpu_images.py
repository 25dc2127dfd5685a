"""Cataract in three passes over an image: blur, maxima and veil map; the veil, with the mean; contrast and the rest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, kernel
from degrade.jit.threads import take
from degrade.models.cataract import table as at
from degrade.ops.blur_cpu import ROWS, blur, window_for
from degrade.ops.constants import LUMA
from degrade.ops.range_cpu import ONE_AS_BITS, largest_bits
from degrade.ops.taps_cpu import taps

Array = NDArray[np.float32]

_RED, _GREEN, _BLUE = (np.float32(weight) for weight in LUMA)
_ZERO, _ONE = np.float32(0), np.float32(1)
_SIZE, _SIGMA = at.SMOOTHING
LEAST = np.float32(1e-20)
"""Of the largest distance: less is that of a mask that is empty."""
_BAND = 1 << 16  # numbers of a band of rows: a quarter of a mebibyte


@kernel
def cloud_images(
    progress: NDArray[np.int64],
    veil: Array,
    image: Array,
    patterns: NDArray[np.uint32],
    mask: Array,
    ones: Array,
    rows: Array,
    out: Array,
) -> None:
    """Degrade images into `out`, until there are none left that no thread has taken.

    Args:
        progress: (2,), 0 at first and the same for all threads: how many images have been taken, and whether there are
            some that may hold more than numbers from 0 to 1.
        veil: (1, H, W) to write to.
        image, patterns: (B, C, H, W), the floats and their bits.
        mask: (B, 1, H, W).
        ones: (1, W).
        rows: the packed parameters, (B, columns).
        out: (B, C, H, W), which may be `image`.
    """
    batch, channels, height, width = image.shape
    brightest = np.empty(channels, np.float32)
    side = min(height, width)
    while True:
        i = take(progress)
        if i >= batch:
            return
        row, picture = rows[i], out[i]
        thickest = draw_veil(row, mask[i, 0], veil)
        sigma = row[at.BLUR_SIGMA]
        x_half, y_half = taps(row[at.BLUR_KERNEL], sigma, side), taps(row[at.BLUR_KERNEL + 1], sigma, side)
        blurred = picture if len(x_half) > 1 or len(y_half) > 1 else image[i]
        most = blur_and_maxima(image[i], patterns[i], x_half, y_half, ones, picture, blurred, brightest)
        if most > ONE_AS_BITS:
            progress[1] = 1
        density = row[at.VEIL] / max(thickest, LEAST)
        mean = cloud(blurred, row[at.TRANSMISSION], density, veil[0], brightest, picture)
        _tone(picture, np.float32(mean), row[at.CONTRAST], row[at.BRIGHTNESS], row[at.SATURATION], mask[i, 0])


@inner_kernel
def center_of(row: Array, height: int, width: int) -> tuple[float, float, np.float32]:
    """Where the veil is thinnest, in pixels, and the scale on which no distance from there is more than 1."""
    x, y = row[at.VEIL_CENTER] * float(width) - 0.5, row[at.VEIL_CENTER + 1] * float(height) - 0.5
    farthest = math.hypot(max(abs(x), abs(width - 1 - x)) + 1, max(abs(y), abs(height - 1 - y)) + 1)
    return x, y, np.float32(1 / farthest)


@inner_kernel
def smoothing_of(side: int) -> Array:
    """The taps of the distance map's blur."""
    return taps(_SIZE, _SIGMA, side)


@inner_kernel
def draw_veil(row: Array, mask: Array, veil: Array) -> np.float32:
    """The distance to a point, smoothed, times the mask, on the scale of `center_of`, into `veil`; its maximum."""
    planes, height, width = veil.shape
    half = smoothing_of(min(height, width))
    reach = len(half) - 1
    window = window_for(planes, width, half)
    band = max(_BAND // width // ROWS, 1) * ROWS
    x, y, scale = center_of(row, height, width)  # what is blurred must be at most 1
    least, thickest = np.float32(1e-12) * scale * scale, _ZERO
    squares = np.empty(width, np.float32)
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
        for i in range(begin, end):
            line = veil[0, i]
            for j in range(width):
                thickest = max(thickest, line[j])
    return thickest


@inner_kernel
def blur_and_maxima(
    image: Array,
    patterns: NDArray[np.uint32],
    x_half: Array,
    y_half: Array,
    ones: Array,
    out: Array,
    blurred: Array,
    brightest: Array,
) -> np.uint32:
    """The blur into `out`, where there is one; the maxima of the channels of `blurred`, which is `out` or the image.

    Returns the largest of the image's bits.
    """
    channels, height, width = image.shape
    reach = len(y_half) - 1
    acts = len(x_half) > 1 or len(y_half) > 1
    window = window_for(channels, width, y_half)
    band = max(_BAND // (channels * width) // ROWS, 1) * ROWS
    for c in range(channels):
        brightest[c] = _ZERO
    most, ready = np.uint32(0), 0
    for begin in range(0, height, band):
        end = min(begin + band, height)
        needed = min(end + reach, height)
        most = max(most, largest_bits(patterns, ready, needed))
        ready = needed
        if acts:
            blur(image, x_half, y_half, ones, out, begin, end, window, np.int64(0), np.int64(0))
        for c in range(channels):
            largest = brightest[c]
            for i in range(begin, end):
                line = blurred[c, i]
                for j in range(width):
                    largest = max(largest, line[j])
            brightest[c] = largest
    return most


@inner_kernel
def cloud(
    blurred: Array, transmission: np.float32, density: np.float32, veil: Array, brightest: Array, out: Array
) -> float:
    """clip(T x + p v (max(x) - x)), p times v the `density` times `veil`, into `out`; returns its mean luma."""
    channels, height, width = blurred.shape
    total = 0.0
    for row in range(height):
        thick = veil[row]
        for c in range(channels):
            line, to, most = blurred[c, row], out[c, row], brightest[c]
            for j in range(width):
                x = line[j]
                to[j] = min(max(transmission * x + density * thick[j] * (most - x), _ZERO), _ONE)
        part = _ZERO
        if channels == 1:
            grey = out[0, row]
            for j in range(width):
                part += grey[j]
        else:
            red, green, blue = out[0, row], out[1, row], out[2, row]
            for j in range(width):
                part += _RED * red[j] + _GREEN * green[j] + _BLUE * blue[j]
        total += float(part)
    return float(total / (height * width))


@inner_kernel
def _tone(
    image: Array, mean: np.float32, contrast: np.float32, brightness: np.float32, saturation: np.float32, mask: Array
) -> None:
    """Contrast about the mean luma, brightness, saturation, and the mask (H, W), in place."""
    channels, height, width = image.shape
    for row in range(height):
        inside = mask[row]
        if channels == 1:
            line = image[0, row]
            for j in range(width):
                x = min(max(mean + contrast * (line[j] - mean), _ZERO), _ONE)
                line[j] = min(brightness * x, _ONE) * inside[j]
        else:
            red, green, blue = image[0, row], image[1, row], image[2, row]
            for j in range(width):
                r = min(brightness * min(max(mean + contrast * (red[j] - mean), _ZERO), _ONE), _ONE)
                g = min(brightness * min(max(mean + contrast * (green[j] - mean), _ZERO), _ONE), _ONE)
                b = min(brightness * min(max(mean + contrast * (blue[j] - mean), _ZERO), _ONE), _ONE)
                luma = _RED * r + _GREEN * g + _BLUE * b
                red[j] = min(max(luma + saturation * (r - luma), _ZERO), _ONE) * inside[j]
                green[j] = min(max(luma + saturation * (g - luma), _ZERO), _ONE) * inside[j]
                blue[j] = min(max(luma + saturation * (b - luma), _ZERO), _ONE) * inside[j]
