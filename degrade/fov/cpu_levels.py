"""Blocks of pixels as levels that are whole numbers, and which of them are dark: steps of `degrade.fov.reference`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fov.constants import BAR, BRIGHT, CELLS, DARK, LEVELS
from degrade.jit.compiler import strict_inner_kernel, strict_kernel

Array = NDArray[np.float32]
Plane = NDArray[np.int32]

_ZERO, _ONE, _TWO = (np.float32(number) for number in (0, 1, 2))
_LEVELS = np.float32(LEVELS)
_LIT = int(BAR * LEVELS)
_DARK, _DARKER, _NEAR, _DARKEST = (np.float32(number) for number in (DARK, 0.3, 0.12, 0.02))
_FIRST, _LAST = np.float32(0.03), np.float32(0.15)


@strict_kernel
def shrink(image: Array, factor: int, top: int, left: int, height: int, width: int, level: Plane) -> None:
    """The brightest channel of blocks of `factor` pixels, as a level from 0 to LEVELS.

    The blocks are of the rectangle of `height` x `width` pixels that begins at (`top`, `left`); black beyond the image.
    """
    channels, (rows, columns) = image.shape[0], level.shape
    sums, line, means = np.zeros(width, np.float32), np.empty(columns, np.float32), np.empty(columns, np.float32)
    first, last = min(max(-left, 0), width), max(min(image.shape[2] - left, width), 0)
    start, begin = np.uint64(first), np.uint64(max(first + left, 0))
    whole = width // factor
    for row in range(rows):
        at = row * factor
        end = min(at + factor, height)
        for c in range(channels):
            for j in range(first, last):
                sums[j] = _ZERO
            for i in range(max(at, -top), min(end, image.shape[1] - top)):
                added = image[c, top + i]
                for j in range(last - first):
                    sums[start + np.uint64(j)] += added[begin + np.uint64(j)]
            count = np.float32(end - at)
            for j in range(first, last):
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
def halve(level: Plane, rough: Plane) -> None:
    """The mean level of two by two blocks, rounded down; at odd sides the last blocks count twice."""
    for i in range(rough.shape[0]):
        above, below = level[2 * i], level[min(2 * i + 1, level.shape[0] - 1)]
        for j in range(rough.shape[1]):
            first, second = 2 * j, min(2 * j + 1, level.shape[1] - 1)
            rough[i, j] = (above[first] + above[second] + below[first] + below[second]) // 4


@strict_inner_kernel
def part(level: Plane, top: int, left: int, out: Plane) -> None:
    """The part of `level` that begins at (`top`, `left`) into `out`, 0 beyond."""
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            y, x = top + i, left + j
            out[i, j] = level[y, x] if 0 <= y < level.shape[0] and 0 <= x < level.shape[1] else 0


@strict_inner_kernel
def darkness(level: Plane, dark: Plane) -> Any:
    """What is dark, or a black bar, 0 or 1 into `dark`; returns the surround's level, 0 to 1, or -1 without one."""
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
    return mean if surrounded else -_ONE


@strict_inner_kernel
def _frame(level: Plane) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what has no black bars along its sides; all, where there is nothing else.

    Without the blocks beside a bar, which may be one in part.
    """
    rows, columns = level.shape
    top, bottom, left, right = rows, 0, columns, 0
    for i in range(rows):
        for j in range(columns):
            if level[i, j] > _LIT:
                top, bottom = min(top, i), max(bottom, i + 1)
                left, right = min(left, j), max(right, j + 1)
    top, bottom = top + (top > 0), bottom - (bottom < rows)
    left, right = left + (left > 0), right - (right < columns)
    return (top, bottom, left, right) if top < bottom and left < right else (0, rows, 0, columns)


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
