"""The spots of `reference.spots`, each in its own window of one image (C, H, W); lengths are in pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, inner_loop
from degrade.ops.disk_cpu import chord, rim

Array = NDArray[np.float32]

_ONE = np.float32(1)


@inner_kernel
def disk_lines(center: Any, radius: float, softness: float, x_half: Array, y_half: Array) -> Array:
    """A disk in its own window, blurred along x; no reflection, lengths in pixels."""
    x_reach, y_reach = len(x_half) - 1, len(y_half) - 1
    far = radius + softness / 2
    left, right, top, bottom = window_of(center, far, x_reach, y_reach)
    lines = np.zeros((bottom - top, right - left), np.float32)
    for i in range(y_reach, bottom - top - y_reach):
        x, dy = center[0] - left, top + i - center[1]
        begin, end = chord(x, far, dy, right - left)
        for column in range(begin, end):
            part = rim(column - x, dy, radius, softness)
            lines[i, column] += part * x_half[0]
            for lag in range(1, x_reach + 1):
                lines[i, column - lag] += part * x_half[lag]
                lines[i, column + lag] += part * x_half[lag]
    return lines


@inner_loop
def add_spot(
    image: Array,
    center: Any,
    radius: float,
    height: Any,
    lines: Array,
    x_half: Array,
    y_half: Array,
    begin: int,
    end: int,
) -> None:
    """clip(x + height G(disk)) in place, in the rows begin to end - 1; `lines` from `disk_lines`, `radius` with rim."""
    channels, _, frame_width = image.shape
    x_reach, y_reach = len(x_half) - 1, len(y_half) - 1
    left, right, top, bottom = window_of(center, radius, x_reach, y_reach)
    width = right - left
    blurred = np.empty(width, np.float32)
    low, high = max(left, 0), min(right, frame_width)
    for row in range(max(top, begin), min(bottom, end)):
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


@inner_kernel
def window_of(center: Any, radius: float, x_reach: int, y_reach: int) -> tuple[int, int, int, int]:
    """Of a spot: the first column and the one after the last, the first row and the one after the last."""
    left, right = math.floor(center[0] - radius) - x_reach, math.ceil(center[0] + radius) + x_reach + 1
    top, bottom = math.floor(center[1] - radius) - y_reach, math.ceil(center[1] + radius) + y_reach + 1
    return left, right, top, bottom
