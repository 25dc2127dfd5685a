"""The steps of `degrade.fov.reference` over one image, shrunk to levels that are whole numbers.

Sums of levels are exact, so all but the first mean over blocks has the definition's bits. Planes of 0 and 1 are int32.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fov.constants import AROUND, CLOSER, LEVELS, MARGIN, SPECK
from degrade.fov.cpu_levels import darkness, halve, part, shrink
from degrade.jit.compiler import strict_inner_kernel, strict_kernel
from degrade.jit.threads import take

Array = NDArray[np.float32]
Plane = NDArray[np.int32]

_ZERO, _QUARTER, _HALF, _ONE, _TWO = (np.float32(number) for number in (0, 0.25, 0.5, 1, 2))
_LEVELS = np.float32(LEVELS)


@strict_kernel
def estimate_fields(progress: NDArray[np.int64], image: Array, factor: int, mask: Array) -> None:
    """Fields of view of images (B, C, H, W) into `mask` (B, 1, H, W), until there are none that no thread has taken."""
    zero: Any = np.int64(0)  # a plain 0 would have every callee compiled twice
    height, width = image.shape[2:]
    level = np.empty(((height + factor - 1) // factor, (width + factor - 1) // factor), np.int32)
    rough = np.empty(((level.shape[0] + 1) // 2, (level.shape[1] + 1) // 2), np.int32)
    field = np.empty_like(rough)
    while True:
        i = take(progress)
        if i >= len(image):
            return
        shrink(image[i], factor, zero, zero, height, width, level)
        halve(level, rough)
        _look(rough, field)
        _closer(image[i], factor, level, field, mask[i, 0])


@strict_inner_kernel
def _closer(image: Array, factor: int, level: Plane, field: Plane, mask: Array) -> None:
    """Look again, at what lies around a field in blocks of 2 `factor` pixels, and write the mask of one image."""
    top, bottom, left, right = _bounds(field)
    top, bottom, left, right = 2 * top, 2 * bottom, 2 * left, 2 * right
    margin = 1 + (max(bottom - top, right - left) + MARGIN - 1) // MARGIN
    top, left = top - margin, left - margin
    rows, columns = bottom + margin - top, right + margin - left
    finer = (factor * max(rows, columns) + CLOSER - 1) // CLOSER
    y, x, height, width = factor * top, factor * left, factor * rows, factor * columns
    if 3 * finer <= 2 * factor:
        blocks = np.empty(((height + finer - 1) // finer, (width + finer - 1) // finer), np.int32)
        shrink(image, finer, y, x, height, width, blocks)
    else:
        finer = factor
        blocks = np.empty((rows, columns), np.int32)
        part(level, top, left, blocks)
    inside, limit = np.empty_like(blocks), np.empty(blocks.shape, np.float32)
    _edge(blocks, _look(blocks, inside), inside, limit)
    _fill(inside, finer, y, x, height, width, mask)
    _decide(image, limit, finer, y, x, mask)


@strict_inner_kernel
def _look(level: Plane, field: Plane) -> Any:
    """The field that blocks tell, 0 or 1; returns the surround's level, -1 without one."""
    dark = np.empty_like(level)
    surround = darkness(level, dark)
    _field(dark, max(1, int(np.rint(SPECK * min(level.shape[0], level.shape[1]) / 2))), field)
    return surround


@strict_inner_kernel
def _bounds(field: Plane) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is not 0."""
    rows, columns = field.shape
    top, bottom, left, right = rows, 0, columns, 0
    for i in range(rows):
        for j in range(columns):
            if field[i, j]:
                top, bottom = min(top, i), max(bottom, i + 1)
                left, right = min(left, j), max(right, j + 1)
    return top, bottom, left, right


@strict_inner_kernel
def _field(dark: Plane, radius: int, field: Plane) -> None:
    """The field of view, 0 or 1, its holes filled and the specks around it gone."""
    rows, columns = dark.shape
    # what an eye at the border sees: dark, and nothing bright before it; beyond the frame everything counts as seen
    seen = np.ones((rows + 10, columns + 10), np.int32)
    _see(dark, seen[5 : 5 + rows, 5 : 5 + columns])
    slit: Any = np.int64(2)  # a plain 2 would have _box compiled twice
    sums = np.empty_like(seen)
    _box(seen, slit, sums)  # without slits narrower than five blocks
    for i in range(rows + 10):
        for j in range(columns + 10):
            seen[i, j] = 1 if sums[i, j] == 25 else 0
    _box(seen, slit, sums)
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
        for i in range(rows):
            for j in range(columns):
                field[i, j] = 1


@strict_inner_kernel
def _see(dark: Plane, seen: Plane) -> None:
    """Dark along a row or a column from the border on, from all four sides."""
    rows, columns = dark.shape
    for i in range(rows):
        for j in range(columns):
            seen[i, j] = 0
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
def _edge(level: Plane, surround: Any, field: Plane, limit: Array) -> None:
    """For the blocks that the edge may cross the level between those outside and inside of it there, else -1."""
    rows, columns = level.shape
    kind = np.empty_like(level)  # 2 inside, 1 on the edge, 0 outside
    for i in range(rows):
        above, here, below = field[max(i - 1, 0)], field[i], field[min(i + 1, rows - 1)]
        for j in range(columns):
            before, behind = max(j - 1, 0), min(j + 1, columns - 1)
            sums = here[before] + here[j] + here[behind] + above[before] + above[j] + above[behind]
            sums += below[before] + below[j] + below[behind]
            kind[i, j] = 2 if sums == 9 else 0 if sums == 0 else 1
    share = _QUARTER if surround < 0 else _HALF
    for i in range(rows):
        for j in range(columns):
            limit[i, j] = -_ONE
            if kind[i, j] != 1:
                continue
            sums, insides, light, outsides = 0, 0, 0, 0
            for y in range(max(i - AROUND, 0), min(i + AROUND + 1, rows)):
                for x in range(max(j - AROUND, 0), min(j + AROUND + 1, columns)):
                    if kind[y, x] == 2:
                        sums += level[y, x]
                        insides += 1
                    elif kind[y, x] == 0:
                        light += level[y, x]
                        outsides += 1
            if insides > 0:
                content, beyond = np.float32(sums) / _LEVELS / np.float32(insides), max(surround, _ZERO)
                if outsides > 0:
                    beyond = np.float32(light) / _LEVELS / np.float32(outsides)
                limit[i, j] = beyond + share * (content - beyond)


@strict_inner_kernel
def _fill(field: Plane, factor: int, top: int, left: int, height: int, width: int, mask: Array) -> None:
    """The mask, 0 or 1, from blocks of `factor` pixels whose first is at (`top`, `left`); 0 beyond."""
    line = np.empty(mask.shape[1], np.float32)
    held = -1
    for i in range(mask.shape[0]):
        row = (i - top) // factor if top <= i < top + height else -1
        if row != held or i == 0:
            held = row
            for j in range(len(line)):
                line[j] = _ZERO
            if row >= 0:
                for k in range(field.shape[1]):
                    if field[row, k]:
                        for j in range(
                            max(left + k * factor, 0), min(left + (k + 1) * factor, left + width, len(line))
                        ):
                            line[j] = _ONE
        to = mask[i]
        for j in range(len(line)):
            to[j] = line[j]


@strict_inner_kernel
def _decide(image: Array, limit: Array, factor: int, top: int, left: int, mask: Array) -> None:
    """Decide each pixel of the blocks that have a limit."""
    height, width = mask.shape
    smooth, line = np.empty((factor + 2, width), np.float32), np.zeros(width + 2, np.float32)
    for row in range(limit.shape[0]):
        begin, end = max(top + row * factor, 0), min(top + (row + 1) * factor, height)
        k = 0
        while k < limit.shape[1] and begin < end:
            if limit[row, k] < 0:
                k += 1
                continue
            first = k
            while k < limit.shape[1] and limit[row, k] >= 0:
                k += 1
            _smooth(image, begin, end, max(left + first * factor, 0), min(left + k * factor, width), line, smooth)
            for i in range(begin, end):
                above, here, below = smooth[i - begin], smooth[i - begin + 1], smooth[i - begin + 2]
                for block in range(first, k):
                    least = limit[row, block]
                    for j in range(max(left + block * factor, 0), min(left + (block + 1) * factor, width)):
                        bright = (above[j] + below[j] + _TWO * here[j]) * _QUARTER
                        mask[i, j] = _ONE if bright > least else _ZERO


@strict_inner_kernel
def _smooth(image: Array, begin: int, end: int, start: int, stop: int, line: Array, smooth: Array) -> None:
    """The brightest channel, smoothed along x, of the pixels from `start` to `stop` in rows from `begin` - 1 on.

    `line` (width + 2) begins and ends with 0.
    """
    channels, height, width = image.shape
    for i in range(begin - 1, end + 1):
        to = smooth[i - begin + 1]
        if i < 0 or i >= height:
            for j in range(start, stop):
                to[j] = _ZERO
            continue
        for j in range(max(start - 1, 0), min(stop + 1, width)):
            most = image[0, i, j]
            for c in range(1, channels):
                most = max(most, image[c, i, j])
            line[j + 1] = most
        for j in range(start, stop):
            to[j] = (line[j] + line[j + 2] + _TWO * line[j + 1]) * _QUARTER
