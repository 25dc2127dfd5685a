"""The pixel loops of the Cofe-Net degradations, `degrade.models.fundus.reference`, over one image (C, H, W) at a time.

All arrays are float32 and C-contiguous. A row is finished before the next is begun, so what a loop writes is in the
first-level cache when the next one reads it; each loop is over neighbours in memory, which is what gets vectorised.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, inner_loop
from degrade.ops.constants import LUMA
from degrade.ops.fields_cpu import field_rows

Array = NDArray[np.float32]

RED, GREEN, BLUE = (np.float32(weight) for weight in LUMA)
_ONE, _ZERO = np.float32(1), np.float32(0)
_ROWS = 16  # of one channel and then the next: what comes from memory comes fastest in long runs


@inner_loop
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


@inner_loop
def mean_luma(image: Array, brightness: Any) -> Any:
    """The mean luma of the brightened image."""
    _, height, width = image.shape
    total = 0.0
    for row in range(height):
        total += luma_of_row(image, row, brightness)
    return total / (height * width)


@inner_kernel
def luma_of_row(image: Array, row: int, brightness: Any) -> Any:
    """The sum over a row of the luma of the brightened image."""
    channels, _, width = image.shape
    part = _ZERO
    if channels == 1:
        for j in range(width):
            part += min(brightness * image[0, row, j], _ONE)
    else:
        red, green, blue = image[0, row], image[1, row], image[2, row]
        for j in range(width):
            part += (
                RED * min(brightness * red[j], _ONE)
                + GREEN * min(brightness * green[j], _ONE)
                + BLUE * min(brightness * blue[j], _ONE)
            )
    return float(part)


@inner_loop
def color(image: Array, mean: Any, brightness: Any, contrast: Any, saturation: Any) -> float:
    """Brightness, contrast about the mean luma, and saturation in place; returns the mean of the result.

    Not from one array into another: if they could be one, the loop would not be vectorised.
    """
    channels, height, width = image.shape
    total = 0.0
    for row in range(height):
        part = _ZERO
        if channels == 1:
            line = image[0, row]
            for j in range(width):
                x = min(brightness * line[j], _ONE)
                x = min(max(mean + contrast * (x - mean), _ZERO), _ONE)
                line[j] = x
                part += x
        else:
            red, green, blue = image[0, row], image[1, row], image[2, row]
            for j in range(width):
                r, g, b = (
                    min(brightness * red[j], _ONE),
                    min(brightness * green[j], _ONE),
                    min(brightness * blue[j], _ONE),
                )
                r = min(max(mean + contrast * (r - mean), _ZERO), _ONE)
                g = min(max(mean + contrast * (g - mean), _ZERO), _ONE)
                b = min(max(mean + contrast * (b - mean), _ZERO), _ONE)
                luma = RED * r + GREEN * g + BLUE * b
                r = min(max(luma + saturation * (r - luma), _ZERO), _ONE)
                g = min(max(luma + saturation * (g - luma), _ZERO), _ONE)
                b = min(max(luma + saturation * (b - luma), _ZERO), _ONE)
                red[j], green[j], blue[j] = r, g, b
                part += r + g + b
        total += float(part)
    return total / image.size


@inner_loop
def halo(image: Array, light: Array, lines: Array, weights: Array) -> float:
    """clip(x + light ring) in place, light (C,) a color, the ring of `wide_field`; returns the mean of the result."""
    channels, height, width = image.shape
    field = np.empty((_ROWS, width), np.float32)
    total = 0.0
    for top in range(0, height, _ROWS):
        count = field_rows(lines, weights, top, height, field)
        for c in range(channels):
            amount = light[c]
            for i in range(count):
                line, ring = image[c, top + i], field[i]
                part = _ZERO
                for j in range(width):
                    x = min(max(line[j] + amount * ring[j], _ZERO), _ONE)  # between nodes a field can overshoot
                    line[j] = x
                    part += x
                total += float(part)
    return total / image.size


@inner_loop
def hole(image: Array, depth: Any, lines: Array, weights: Array, begin: int, end: int) -> None:
    """clip(x - depth dark) in place, in the rows begin to end - 1."""
    channels, _, width = image.shape
    field = np.empty((_ROWS, width), np.float32)
    for top in range(begin, end, _ROWS):
        count = field_rows(lines, weights, top, end, field)
        for c in range(channels):
            for i in range(count):
                line, dark = image[c, top + i], field[i]
                for j in range(width):
                    line[j] = min(max(line[j] - depth * dark[j], _ZERO), _ONE)


@inner_loop
def copy(image: Array, out: Array) -> None:
    """The image (C, H, W) into `out`; an assignment to a slice would take four seconds more to compile."""
    for c in range(image.shape[0]):
        for row in range(image.shape[1]):
            line, to = image[c, row], out[c, row]
            for j in range(len(line)):
                to[j] = line[j]
