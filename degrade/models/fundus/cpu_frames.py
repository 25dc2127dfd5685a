"""Images into their frames and back, for the loops over one image: crop, pad with black, blacken outside the mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, inner_loop
from degrade.models.fundus.cpu_stages import luma_of_row
from degrade.ops.constants import SMALLEST_SIDE

Array = NDArray[np.float32]

_HALF, _ZERO = np.float32(0.5), np.float32(0)


@inner_kernel
def box(mask: Array, place: NDArray[np.int64]) -> None:
    """The square around what is above 0.5 in a mask (H, W), `degrade.fov.frame.of_mask`, into `place` (4,)."""
    height, width = mask.shape
    top, bottom, left, right = height, -1, width, -1
    for row in range(height):
        line = mask[row]
        first = 0
        while first < width and not line[first] > _HALF:
            first += 1
        if first == width:
            continue
        last = width - 1
        while last > right and not line[last] > _HALF:
            last -= 1
        top, bottom = min(top, row), row
        left, right = min(left, first), max(right, last)
    if bottom < 0:
        top, bottom, left, right = 0, height - 1, 0, width - 1
    across, down = right - left + 1, bottom - top + 1
    side = max(across, down, SMALLEST_SIDE)
    place[0], place[1] = left - (side - across) // 2, top - (side - down) // 2
    place[2], place[3] = side, side


@inner_loop
def enter(
    image: Array,
    bits: NDArray[np.uint32],
    mask: Array,
    left: int,
    top: int,
    out: Array,
    brightness: Any,
) -> tuple[Any, float, float]:
    """The frame's part of an image (C, H, W), whose mask is (H, W), into `out` (C, h, w).

    Black beyond the image and where the mask is not above 0.5. Returns the largest of the image's bits, frame or not,
    the mean of the mask in the frame, and the mean luma of the brightened frame.
    """
    channels, image_height, image_width = image.shape
    _, height, width = out.shape
    first, last = min(max(-left, 0), width), max(min(image_width - left, width), 0)
    # unsigned: Numba takes an index below 0 for one from the end, which keeps loops from being vectorised
    start, begin = np.uint64(first), np.uint64(max(first + left, 0))
    most, area, luma = np.uint32(0), 0.0, 0.0
    for row in range(min(-top, 0) - max(top, 0), max(height, image_height - top)):
        at = row + top
        within = 0 <= at < image_height
        if within:
            for c in range(channels):
                numbers = bits[c, at]
                for j in range(image_width):
                    most = max(most, numbers[j])
        if row < 0 or row >= height:
            continue
        field = mask[min(max(at, 0), image_height - 1)]
        if within:
            part = _ZERO
            for j in range(last - first):
                part += field[begin + np.uint64(j)]
            area += float(part)
        for c in range(channels):
            to = out[c, row]
            if within:
                line = image[c, at]
                for j in range(first):
                    to[j] = _ZERO
                for j in range(last - first):
                    k = begin + np.uint64(j)
                    to[start + np.uint64(j)] = line[k] if field[k] > _HALF else _ZERO
                for j in range(last, width):
                    to[j] = _ZERO
            else:
                for j in range(width):
                    to[j] = _ZERO
        if within and brightness != 0:
            luma += luma_of_row(out, row, brightness)
    return most, area / (height * width), luma / (height * width)


@inner_loop
def times(image: Array, mask: Array, begin: int, end: int, out: Array, left: Any, top: Any) -> None:
    """The rows begin to end - 1 of a frame (C, h, w) times the mask (H, W), into its place in `out` (C, H, W)."""
    width = image.shape[2]
    first, last = min(max(-left, 0), width), max(min(out.shape[2] - left, width), 0)
    start, begin_at = np.uint64(first), np.uint64(max(first + left, 0))
    for c in range(image.shape[0]):
        for row in range(begin, end):
            if 0 <= row + top < out.shape[1]:
                line, inside, to = image[c, row], mask[row + top], out[c, row + top]
                for j in range(last - first):
                    k = begin_at + np.uint64(j)
                    to[k] = line[start + np.uint64(j)] * inside[k]


@inner_loop
def times_in_place(image: Array, mask: Array, begin: int, end: int) -> None:
    """The rows begin to end - 1 of the image (C, H, W) times the mask (H, W), in place."""
    for c in range(image.shape[0]):
        for row in range(begin, end):
            line, inside = image[c, row], mask[row]
            for j in range(len(line)):
                line[j] *= inside[j]


@inner_kernel
def clear_around(out: Array, left: int, top: int, width: int, height: int) -> None:
    """Black in `out` (C, H, W) outside of a frame."""
    first, last = min(max(left, 0), out.shape[2]), max(min(left + width, out.shape[2]), 0)
    for c in range(out.shape[0]):
        for row in range(out.shape[1]):
            to = out[c, row]
            if top <= row < top + height:
                _clear(to[:first])
                _clear(to[last:])
            else:
                _clear(to)


@inner_kernel
def _clear(to: Array) -> None:
    for j in range(len(to)):
        to[j] = _ZERO
