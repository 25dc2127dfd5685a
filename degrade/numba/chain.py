"""The pixel loops of the Cofe-Net degradations, `degrade.fundus.stages`, over one image (C, H, W) at a time.

All arrays are float32 and C-contiguous. A row is finished before the next is begun, so what a loop writes is in the
first-level cache when the next one reads it; each loop is over neighbours in memory, which is what gets vectorised.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.functional.colour import LUMA
from degrade.numba.fields import chord
from degrade.numba.jit import kernel

Array = NDArray[np.float32]

_RED, _GREEN, _BLUE = (np.float32(weight) for weight in LUMA)
_ONE, _ZERO = np.float32(1), np.float32(0)


ONE_AS_BITS = int(np.float32(1).view(np.uint32))
"""As whole numbers the bits of positive floats are in the floats' order, and NaN and all negative ones come after 1."""


@kernel
def largest(bits: NDArray[np.uint32]) -> Any:
    """The largest whole number of (C, H, W)."""
    most = np.uint32(0)
    for c in range(bits.shape[0]):
        for row in range(bits.shape[1]):
            line = bits[c, row]
            for j in range(len(line)):
                most = max(most, line[j])
    return most


@kernel
def mean_of(planes: Array) -> float:
    """The mean of (C, H, W)."""
    total = 0.0
    for c in range(planes.shape[0]):
        for row in range(planes.shape[1]):
            part = _ZERO
            line = planes[c, row]
            for j in range(len(line)):
                part += line[j]
            total += float(part)
    return total / planes.size


@kernel
def mean_luma(image: Array, brightness: Any) -> float:
    """The mean luma of the brightened image."""
    channels, height, width = image.shape
    total = 0.0
    for row in range(height):
        part = _ZERO
        if channels == 1:
            for j in range(width):
                part += min(brightness * image[0, row, j], _ONE)
        else:
            red, green, blue = image[0, row], image[1, row], image[2, row]
            for j in range(width):
                part += (
                    _RED * min(brightness * red[j], _ONE)
                    + _GREEN * min(brightness * green[j], _ONE)
                    + _BLUE * min(brightness * blue[j], _ONE)
                )
        total += float(part)
    return float(total / (height * width))


@kernel
def colour(image: Array, brightness: Any, contrast: Any, saturation: Any, out: Array) -> float:
    """Brightness, contrast and saturation, into `out`; returns the mean of the result."""
    channels, height, width = image.shape
    mean = np.float32(mean_luma(image, brightness))
    total = 0.0
    for row in range(height):
        part = _ZERO
        if channels == 1:
            for j in range(width):
                x = min(brightness * image[0, row, j], _ONE)
                x = min(max(mean + contrast * (x - mean), _ZERO), _ONE)
                out[0, row, j] = x
                part += x
        else:
            red, green, blue = image[0, row], image[1, row], image[2, row]
            to_red, to_green, to_blue = out[0, row], out[1, row], out[2, row]
            for j in range(width):
                r, g, b = (
                    min(brightness * red[j], _ONE),
                    min(brightness * green[j], _ONE),
                    min(brightness * blue[j], _ONE),
                )
                r = min(max(mean + contrast * (r - mean), _ZERO), _ONE)
                g = min(max(mean + contrast * (g - mean), _ZERO), _ONE)
                b = min(max(mean + contrast * (b - mean), _ZERO), _ONE)
                luma = _RED * r + _GREEN * g + _BLUE * b
                r = min(max(luma + saturation * (r - luma), _ZERO), _ONE)
                g = min(max(luma + saturation * (g - luma), _ZERO), _ONE)
                b = min(max(luma + saturation * (b - luma), _ZERO), _ONE)
                to_red[j], to_green[j], to_blue[j] = r, g, b
                part += r + g + b
        total += float(part)
    return total / image.size


@kernel
def halo(image: Array, light: Array, ring: Array) -> float:
    """clip(x + light ring) in place, light (C,) a colour; returns the mean of the result."""
    total = 0.0
    for c in range(image.shape[0]):
        amount = light[c]
        for row in range(image.shape[1]):
            line, field = image[c, row], ring[row]
            part = _ZERO
            for j in range(len(line)):
                x = min(max(line[j] + amount * field[j], _ZERO), _ONE)  # between nodes a field can overshoot
                line[j] = x
                part += x
            total += float(part)
    return total / image.size


@kernel
def hole(image: Array, depth: Any, dark: Array) -> None:
    """clip(x - depth dark) in place."""
    for c in range(image.shape[0]):
        for row in range(image.shape[1]):
            line, field = image[c, row], dark[row]
            for j in range(len(line)):
                line[j] = min(max(line[j] - depth * field[j], _ZERO), _ONE)


@kernel
def spot(image: Array, center: Any, radius: float, height: Any, x_half: Array, y_half: Array) -> None:
    """clip(x + height G(disk)) in place, in the spot's own window; no reflection, lengths in pixels."""
    channels, frame_height, frame_width = image.shape
    x_reach, y_reach = len(x_half) - 1, len(y_half) - 1
    left, right = math.floor(center[0] - radius) - x_reach, math.ceil(center[0] + radius) + x_reach + 1
    top, bottom = math.floor(center[1] - radius) - y_reach, math.ceil(center[1] + radius) + y_reach + 1
    width = right - left
    lines = np.zeros((bottom - top, width), np.float32)  # the disk, blurred along x
    for i in range(y_reach, bottom - top - y_reach):
        begin, end = chord(center[0] - left, radius, top + i - center[1], width)
        for column in range(begin, end):
            lines[i, column] += x_half[0]
            for lag in range(1, x_reach + 1):
                lines[i, column - lag] += x_half[lag]
                lines[i, column + lag] += x_half[lag]
    blurred = np.empty(width, np.float32)
    low, high = max(left, 0), min(right, frame_width)
    for row in range(max(top, 0), min(bottom, frame_height)):
        for j in range(width):
            blurred[j] = y_half[0] * lines[row - top, j]
        for other in range(max(row - y_reach, top), min(row + y_reach + 1, bottom)):
            if other != row:
                weight, near = y_half[abs(other - row)], lines[other - top]
                for j in range(width):
                    blurred[j] += weight * near[j]
        for c in range(channels):
            line = image[c, row]
            for j in range(low, high):
                line[j] = min(line[j] + height * blurred[j - left], _ONE)


@kernel
def blur(image: Array, x_half: Array, y_half: Array, mask: Array, out: Array) -> None:
    """clip(G(x)) times the mask (H, W), borders reflected, into `out`."""
    channels, height, width = image.shape
    x_reach, y_reach = len(x_half) - 1, len(y_half) - 1
    padded = np.empty(width + 2 * x_reach, np.float32)
    for channel in range(channels):
        plane = image[channel]
        for row in range(height):
            middle = padded[x_reach : x_reach + width]
            center, line = y_half[0], plane[row]
            for j in range(width):
                middle[j] = center * line[j]
            for lag in range(1, y_reach + 1):
                factor = y_half[lag]
                above, below = plane[_mirrored(row - lag, height)], plane[_mirrored(row + lag, height)]
                for j in range(width):
                    middle[j] += factor * (above[j] + below[j])
            for j in range(1, x_reach + 1):
                padded[x_reach - j] = middle[j]
                padded[x_reach + width - 1 + j] = middle[width - 1 - j]
            target, inside, center = out[channel, row], mask[row], x_half[0]
            for j in range(width):
                target[j] = center * middle[j]
            for lag in range(1, x_reach + 1):
                factor, before, after = x_half[lag], padded[x_reach - lag :], padded[x_reach + lag :]
                for j in range(width):
                    target[j] += factor * (before[j] + after[j])
            for j in range(width):
                target[j] = min(target[j], _ONE) * inside[j]  # weights add to 1, rounding goes beyond


@kernel
def times(image: Array, mask: Array, out: Array) -> None:
    """The image (C, H, W) times the mask (H, W), into `out`."""
    for c in range(image.shape[0]):
        for row in range(image.shape[1]):
            source, target, inside = image[c, row], out[c, row], mask[row]
            for j in range(len(source)):
                target[j] = source[j] * inside[j]


@kernel
def _mirrored(index: int, length: int) -> int:
    if index < 0:
        return -index
    return index if index < length else 2 * (length - 1) - index
