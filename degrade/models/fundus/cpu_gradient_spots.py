"""The adjoint of `cpu_spots`: from the derivatives in an image with spots to those in the one before and the spots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, kernel
from degrade.models.fundus import table as at
from degrade.models.fundus.cpu_spots import add_spot, disk_lines, window_of
from degrade.models.fundus.cpu_wide import length, pixel
from degrade.ops.disk_cpu import chord, rim
from degrade.ops.taps_cpu import taps_adjoint, taps_and_one

Array = NDArray[np.float32]
Sums = NDArray[np.float64]


@kernel
def add_spots(image: Array, row: Array, spots: int, softness: float) -> None:
    """The spots of a packed row into an image (C, H, W), in place."""
    zero: Any = np.int64(0)  # a plain 0 would have every callee compiled twice
    for n in range(spots):
        height = row[at.SPOTS_AT + at.SPOT_HEIGHT * spots + n]
        if height != 0:
            center, radius, soft, x_half, y_half = _spot(row, n, spots, softness, image.shape)
            lines = disk_lines(center, radius, soft, x_half, y_half)
            add_spot(image, center, radius + soft / 2, height, lines, x_half, y_half, zero, image.shape[1])


@kernel
def spots_adjoint(
    image: Array, row: Array, spots: int, softness: float, spots_too: bool, g: Array, to_row: Sums
) -> None:
    """From the derivatives in an image with spots, `g`, to those in the image before, in place, and in the spots.

    Args:
        image: (C, H, W), with spots.
        row: of the packed parameters.
        spots: N.
        softness: of the rims, of the side.
        spots_too: whether the derivatives in the spots are asked for.
        g: (C, H, W).
        to_row: added to, in the columns of `row`.
    """
    for n in range(spots):  # what one spot has clipped no other one changes
        height = row[at.SPOTS_AT + at.SPOT_HEIGHT * spots + n]
        if height != 0:
            center, radius, soft, x_half, y_half = _spot(row, n, spots, softness, image.shape)
            lines = disk_lines(center, radius, soft, x_half, y_half)
            _clipped(image, center, radius + soft / 2, lines, x_half, y_half, g)
    for n in range(spots if spots_too else 0):
        _spot_adjoint(row, n, spots, softness, g, to_row)


@inner_kernel
def _spot(row: Array, n: int, spots: int, softness: Any, shape: tuple[int, int, int]) -> tuple[Any, ...]:
    """Center, radius, width of the rim, and taps along x and y of spot number n."""
    side = min(shape[1], shape[2])
    center, kernel_size = at.SPOTS_AT + at.SPOT_CENTER * spots + 2 * n, at.SPOTS_AT + at.SPOT_KERNEL * spots + 2 * n
    radius, sigma = at.SPOTS_AT + at.SPOT_RADIUS * spots + n, at.SPOTS_AT + at.SPOT_SIGMA * spots + n
    x_half = taps_and_one(row[kernel_size], row[sigma], side)
    y_half = taps_and_one(row[kernel_size + 1], row[sigma], side)
    place = pixel(row[center], row[center + 1], shape[1:])
    return place, length(row[radius], side), length(softness, side), x_half, y_half


@inner_kernel
def _clipped(image: Array, center: Any, far: float, lines: Array, x_half: Array, y_half: Array, g: Array) -> None:
    """No derivative where a spot has brightened a pixel to 1."""
    left, _, top, _ = window_of(center, far, len(x_half) - 1, len(y_half) - 1)
    blurred = _down(lines, y_half)
    for i in range(max(-top, 0), min(lines.shape[0], image.shape[1] - top)):
        for j in range(max(-left, 0), min(lines.shape[1], image.shape[2] - left)):
            if blurred[i, j] > 0:
                for c in range(len(image)):
                    if image[c, top + i, left + j] >= 1:
                        g[c, top + i, left + j] = np.float32(0)


@inner_kernel
def _spot_adjoint(row: Array, n: int, spots: int, softness: Any, g: Array, to_row: Sums) -> None:
    height_at = at.SPOTS_AT + at.SPOT_HEIGHT * spots + n
    center, radius, soft, x_half, y_half = _spot(row, n, spots, softness, g.shape)
    lines = disk_lines(center, radius, soft, x_half, y_half)
    rows, columns = lines.shape
    left, _, top, _ = window_of(center, radius + soft / 2, len(x_half) - 1, len(y_half) - 1)
    seen, height = np.zeros(lines.shape, np.float32), row[height_at]
    for i in range(max(-top, 0), min(rows, g.shape[1] - top)):
        for c in range(len(g)):
            line = g[c, top + i]
            for j in range(max(-left, 0), min(columns, g.shape[2] - left)):
                seen[i, j] += line[left + j]
    blurred, total = _down(lines, y_half), 0.0
    for i in range(rows):
        for j in range(columns):
            total += float(seen[i, j]) * blurred[i, j]
    to_row[height_at] += total
    if height == 0:
        return
    to_x, to_y, to_ring = np.zeros(len(x_half)), np.zeros(len(y_half)), np.zeros(3)
    for lag in range(len(y_half)):
        part = 0.0
        for i in range(rows - lag):
            near, far = lines[i], lines[i + lag]
            for j in range(columns):
                part += seen[i, j] * far[j] + (seen[i + lag, j] * near[j] if lag else np.float32(0))
        to_y[lag] = part
    back = _down(seen, y_half)
    _to_disk(back, center[0] - left, center[1] - top, radius, soft, x_half, to_x, to_ring)
    side = min(g.shape[1], g.shape[2])
    size_at, sigma_at = at.SPOTS_AT + at.SPOT_KERNEL * spots + 2 * n, at.SPOTS_AT + at.SPOT_SIGMA * spots + n
    center_at, radius_at = at.SPOTS_AT + at.SPOT_CENTER * spots + 2 * n, at.SPOTS_AT + at.SPOT_RADIUS * spots + n
    x_size, x_sigma = taps_adjoint(row[size_at], row[sigma_at], side, to_x)
    y_size, y_sigma = taps_adjoint(row[size_at + 1], row[sigma_at], side, to_y)
    to_row[size_at] += height * x_size
    to_row[size_at + 1] += height * y_size
    to_row[sigma_at] += height * (x_sigma + y_sigma)
    to_row[center_at] += height * to_ring[0] * g.shape[2]
    to_row[center_at + 1] += height * to_ring[1] * g.shape[1]
    to_row[radius_at] += height * to_ring[2] * side


@inner_kernel
def _down(lines: Array, half: Array) -> Array:
    """The blur along y of a window with nothing around it."""
    made = np.zeros(lines.shape, np.float32)
    for i in range(len(lines)):
        to = made[i]
        for other in range(max(i - len(half) + 1, 0), min(i + len(half), len(lines))):
            weight, line = half[abs(other - i)], lines[other]
            for j in range(len(line)):
                to[j] += weight * line[j]
    return made


@inner_kernel
def _to_disk(
    back: Array, x: float, y: float, radius: float, softness: float, half: Array, to_half: Sums, to_ring: Sums
) -> None:
    """From the derivatives in a disk's blurred lines to those in the taps along them, and in its center and radius."""
    rows, columns = back.shape
    for i in range(rows):
        dy = i - y
        begin, end = chord(x, radius + softness / 2, dy, columns)
        for column in range(begin, end):
            part, to_pixel = float(rim(column - x, dy, radius, softness)), float(half[0] * back[i, column])
            to_half[0] += part * back[i, column]
            for lag in range(1, len(half)):
                pair = back[i, column - lag] + back[i, column + lag]
                to_half[lag] += part * pair
                to_pixel += half[lag] * pair
            distance = math.sqrt(max((column - x) * (column - x) + dy * dy, 1e-12))
            if softness > 0 and abs((radius - distance) / softness) <= 0.5:
                to_ring[0] += to_pixel / softness * (column - x) / distance
                to_ring[1] += to_pixel / softness * dy / distance
                to_ring[2] += to_pixel / softness
