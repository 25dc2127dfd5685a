"""The steps of `degrade.fov.reference` over one image, shrunk to levels that are whole numbers.

Sums of levels are exact, so all but the first mean over blocks and the interpolation of the edge has the definition's
bits. Planes of 0 and 1 are int32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fov.constants import BAR, BRIGHT, CELLS, DARK, LEVELS
from degrade.jit.compiler import strict_inner_kernel, strict_kernel
from degrade.jit.threads import take

Array = NDArray[np.float32]
Plane = NDArray[np.int32]

_ZERO, _HALF, _ONE, _TWO = (np.float32(number) for number in (0, 0.5, 1, 2))
_LEVELS = np.float32(LEVELS)
_LIT = int(BAR * LEVELS)
_DARK, _DARKER, _NEAR, _DARKEST = (np.float32(number) for number in (DARK, 0.3, 0.12, 0.02))
_FIRST, _LAST = np.float32(0.03), np.float32(0.15)
_LEAST = np.float32(2**-12)


@strict_kernel
def estimate_fields(progress: NDArray[np.int64], image: Array, factor: int, radius: int, mask: Array) -> None:
    """Fields of view of images (B, C, H, W) into `mask` (B, 1, H, W), until there are none that no thread has taken."""
    height, width = image.shape[2:]
    shape = (height + factor - 1) // factor, (width + factor - 1) // factor
    level, dark, field = np.empty(shape, np.int32), np.empty(shape, np.int32), np.empty(shape, np.int32)
    cover = np.empty(shape, np.float32)
    while True:
        i = take(progress)
        if i >= len(image):
            return
        _shrink(image[i], factor, level)
        surround = _darkness(level, dark)
        _field(dark, radius, field)
        _coverage(level, surround, field, cover)
        _enlarge(cover, factor, mask[i, 0])


@strict_inner_kernel
def _shrink(image: Array, factor: int, level: Plane) -> None:
    """The brightest channel of blocks of `factor` pixels, as a level from 0 to LEVELS."""
    channels, height, width = image.shape
    rows, columns = level.shape
    sums, line, means = np.empty(width, np.float32), np.empty(columns, np.float32), np.empty(columns, np.float32)
    whole = width // factor
    for row in range(rows):
        top = row * factor
        bottom = min(top + factor, height)
        for c in range(channels):
            first = image[c, top]
            for j in range(width):
                sums[j] = first[j]
            for i in range(top + 1, bottom):
                added = image[c, i]
                for j in range(width):
                    sums[j] += added[j]
            count = np.float32(bottom - top)
            for j in range(width):
                sums[j] /= count
            for k in range(columns):
                means[k] = sums[k * factor]
            for j in range(1, factor):
                for k in range(whole):
                    means[k] += sums[k * factor + j]
            for j in range(whole * factor + 1, width):
                means[whole] += sums[j]
            for k in range(columns):
                mean = means[k] / np.float32(factor if k < whole else width - whole * factor)
                line[k] = mean if c == 0 else max(line[k], mean)
        for k in range(columns):  # a NaN becomes some number: it is refused by what degrades
            number = int(np.rint(line[k] * _LEVELS))
            level[row, k] = min(max(number, 0), LEVELS)


@strict_inner_kernel
def _darkness(level: Plane, dark: Plane) -> Any:
    """What is dark, or a black bar, 0 or 1 into `dark`; returns the level of the surround, from 0 to 1."""
    rows, columns = level.shape
    top, bottom, left, right = _frame(level)
    histogram = np.zeros(LEVELS + 1, np.int64)
    count = 0
    for i in range(top, bottom):
        for j in range(left, right):
            if i == top or i == bottom - 1 or j == left or j == right - 1:
                histogram[level[i, j]] += 1
                count += 1
    content = np.float32(_content(level)) / _LEVELS
    darkest = np.float32(_number(histogram, np.int64(_DARKEST * np.float32(count)))) / _LEVELS
    bound = darkest + _NEAR * (content - darkest)
    total, near = 0, 0
    for value in range(LEVELS + 1):
        if np.float32(value) / _LEVELS <= bound:
            total += value * histogram[value]
            near += histogram[value]
    mean = np.float32(total) / _LEVELS / np.float32(near)
    contrast, noise = content - mean, mean - darkest
    threshold = mean + min(max(_FIRST * contrast, _TWO * noise), _LAST * contrast)
    surrounded = mean < _DARK and mean < _DARKER * content
    most = threshold if surrounded else -_ONE
    for i in range(rows):
        for j in range(columns):
            outside = i < top or i >= bottom or j < left or j >= right
            dark[i, j] = 1 if outside or np.float32(level[i, j]) / _LEVELS <= most else 0
    return mean


@strict_inner_kernel
def _frame(level: Plane) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what has no black bars along its sides; all, where there is nothing else."""
    rows, columns = level.shape
    top, bottom, left, right = rows, 0, columns, 0
    for i in range(rows):
        for j in range(columns):
            if level[i, j] > _LIT:
                top, bottom = min(top, i), max(bottom, i + 1)
                left, right = min(left, j), max(right, j + 1)
    return (top, bottom, left, right) if bottom > 0 else (0, rows, 0, columns)


@strict_inner_kernel
def _content(level: Plane) -> int:
    """The brightness of the content: a quantile of the maxima of a grid's cells."""
    rows, columns = level.shape
    histogram = np.zeros(LEVELS + 1, np.int64)
    for a in range(CELLS):
        for b in range(CELLS):
            most = 0
            for i in range(a * rows // CELLS, ((a + 1) * rows + CELLS - 1) // CELLS):
                for j in range(b * columns // CELLS, ((b + 1) * columns + CELLS - 1) // CELLS):
                    most = max(most, level[i, j])
            histogram[most] += 1
    return int(_number(histogram, np.int64(BRIGHT * CELLS * CELLS)))


@strict_inner_kernel
def _number(histogram: NDArray[np.int64], place: Any) -> int:
    """Which number is at this place, from 0, of all in their order."""
    seen = 0
    for value in range(len(histogram)):
        seen += histogram[value]
        if seen > place:
            return value
    return len(histogram) - 1


@strict_inner_kernel
def _field(dark: Plane, radius: int, field: Plane) -> None:
    """The field of view, 0 or 1, its holes filled and the specks around it gone."""
    rows, columns = dark.shape
    # what an eye at the border sees: dark, and nothing bright before it; beyond the frame everything counts as seen
    seen = np.ones((rows + 10, columns + 10), np.int32)
    _see(dark, seen[5 : 5 + rows, 5 : 5 + columns])
    sums = np.empty_like(seen)
    _box(seen, 2, sums)  # without slits narrower than five blocks
    for i in range(rows + 10):
        for j in range(columns + 10):
            seen[i, j] = 1 if sums[i, j] == 25 else 0
    _box(seen, 2, sums)
    inside, counts = np.empty_like(dark), np.empty_like(dark)
    for i in range(rows):
        for j in range(columns):
            inside[i, j] = 1 if sums[i + 5, j + 5] == 0 else 0
    _box(inside, radius, counts)
    square = (2 * radius + 1) * (2 * radius + 1)
    for i in range(rows):
        for j in range(columns):
            field[i, j] = 1 if counts[i, j] == square else 0
    _box(field, radius + 3, counts)
    found = 0
    for i in range(rows):
        for j in range(columns):
            field[i, j] = inside[i, j] if counts[i, j] > 0 else 0
            found += field[i, j]
    if found == 0:
        field[:] = 1


@strict_inner_kernel
def _see(dark: Plane, seen: Plane) -> None:
    """Dark along a row or a column from the border on, from all four sides."""
    rows, columns = dark.shape
    seen[:] = 0
    for i in range(rows):
        for j in range(columns):
            if dark[i, j] == 0:
                break
            seen[i, j] = 1
        for j in range(columns - 1, -1, -1):
            if dark[i, j] == 0:
                break
            seen[i, j] = 1
    for j in range(columns):
        for i in range(rows):
            if dark[i, j] == 0:
                break
            seen[i, j] = 1
        for i in range(rows - 1, -1, -1):
            if dark[i, j] == 0:
                break
            seen[i, j] = 1


@strict_kernel
def _box(plane: Plane, radius: int, sums: Plane) -> None:
    """Sums over (2 radius + 1)-sided squares; beyond the frame is nothing."""
    rows, columns = plane.shape
    padded = np.zeros(columns + 2 * radius + 1, np.int32)  # sums along y, with nothing on either side
    column, ahead = padded[radius + 1 :], padded[2 * radius + 1 :]
    for i in range(-radius, rows):
        if i + radius < rows:
            new = plane[i + radius]
            for j in range(columns):
                column[j] += new[j]
        if i - radius - 1 >= 0:
            old = plane[i - radius - 1]
            for j in range(columns):
                column[j] -= old[j]
        if i >= 0:
            line, total = sums[i], np.int32(0)
            for j in range(min(radius, columns)):
                total += column[j]
            for j in range(columns):
                total += ahead[j] - padded[j]
                line[j] = total


@strict_inner_kernel
def _coverage(level: Plane, surround: Any, field: Plane, cover: Array) -> None:
    """How much of each block is field: 0 or 1 but for the blocks on the edge, which the level there decides."""
    rows, columns = level.shape
    inner, near, light = np.empty_like(field), np.empty_like(field), np.empty_like(field)
    around = np.empty_like(field)
    for i in range(rows):
        for j in range(columns):
            inner[i, j] = 1 - field[i, j]
    _box(inner, 1, around)
    for i in range(rows):
        for j in range(columns):
            inner[i, j] = 1 if around[i, j] == 0 else 0
    _box(inner, 3, near)
    for i in range(rows):
        for j in range(columns):
            around[i, j] = level[i, j] * inner[i, j]
    _box(around, 3, light)
    _box(field, 1, around)
    for i in range(rows):
        for j in range(columns):
            part = np.float32(field[i, j])
            if inner[i, j] == 0 and around[i, j] > 0 and near[i, j] > 0:
                content = np.float32(light[i, j]) / _LEVELS / np.float32(near[i, j])
                part = (np.float32(level[i, j]) / _LEVELS - surround) / max(content - surround, _LEAST)
                part = min(max(part, _ZERO), _ONE)
            cover[i, j] = _ONE if inner[i, j] else part


@strict_inner_kernel
def _enlarge(cover: Array, factor: int, mask: Array) -> None:
    """The mask, 0 or 1, where the coverage, interpolated between the blocks' centers, is above a half."""
    height, width = mask.shape
    rows, columns = cover.shape
    scale = np.float32(1 / factor)
    lines, held = np.empty((2, width), np.float32), np.full(2, -1)
    place, weight = np.empty(width, np.int64), np.empty(width, np.float32)
    for j in range(width):
        x = max(scale * (np.float32(j) + _HALF) - _HALF, _ZERO)
        place[j] = int(x)
        weight[j] = x - np.float32(place[j])
    for i in range(height):
        y = max(scale * (np.float32(i) + _HALF) - _HALF, _ZERO)
        above = int(y)
        below = min(above + 1, rows - 1)
        down = y - np.float32(above)
        up = _ONE - down
        for row in (above, below):
            if held[row % 2] != row:
                held[row % 2] = row
                line, source = lines[row % 2], cover[row]
                for j in range(width):
                    k = place[j]
                    line[j] = (_ONE - weight[j]) * source[k] + weight[j] * source[min(k + 1, columns - 1)]
        first, second, to = lines[above % 2], lines[below % 2], mask[i]
        for j in range(width):
            to[j] = _ONE if up * first[j] + down * second[j] > _HALF else _ZERO
