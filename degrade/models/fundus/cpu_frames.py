"""Images into their frames and back, for the loops over one image: crop, pad with black, blacken outside the mask."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fov.cpu_frames import HALF, columns_of, enter_row
from degrade.jit.compiler import inner_loop
from degrade.models.fundus.cpu_stages import luma_of_row

Array = NDArray[np.float32]

_ZERO = np.float32(0)


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
    first, last, _, begin = columns_of(left, width, image_width)
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
        enter_row(image, mask, HALF, left, top, row, out)
        if within and brightness != 0:
            luma += luma_of_row(out, row, brightness)
    return most, area / (height * width), luma / (height * width)


@inner_loop
def times(image: Array, mask: Array, begin: int, end: int, out: Array, left: Any, top: Any) -> None:
    """The rows begin to end - 1 of a frame (C, h, w) times the mask (H, W), into its place in `out` (C, H, W)."""
    first, last, start, begin_at = columns_of(left, image.shape[2], out.shape[2])
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
