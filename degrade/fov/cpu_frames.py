"""Images into their frames, for loops over one image at a time: find the frame, crop, pad with black, blacken."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from degrade.jit.compiler import inlined_kernel, inner_kernel
from degrade.ops.constants import SMALLEST_SIDE

Array = NDArray[np.float32]

HALF, _ZERO = np.float32(0.5), np.float32(0)
NO_LIMIT = np.float32(-3e38)
"""Below what masks hold, for all of an image; not an infinity, which fast arithmetic takes for granted not to meet."""


def frames_of(frame: Tensor | Literal["fov"] | None, batch: int, height: int, width: int) -> NDArray[np.int64]:
    """(B, 4): left, top, width and height of each frame in a batch of images.

    Args:
        frame: (B, 4) int64; None where the frames are the whole images; "fov" where `box` finds them from the masks:
            until then they are the largest that it may find.
        batch, height, width: of the images.
    """
    if isinstance(frame, Tensor):
        return np.ascontiguousarray(frame.numpy())
    side = max(height, width, SMALLEST_SIDE)
    return np.array([[0, 0, width, height] if frame is None else [0, 0, side, side]] * batch, np.int64)


@inner_kernel
def box(mask: Array, place: NDArray[np.int64]) -> None:
    """The square around what is above 0.5 in a mask (H, W), `degrade.fov.frame.of_mask`, into `place` (4,)."""
    height, width = mask.shape
    top, bottom, left, right = height, -1, width, -1
    for row in range(height):
        line = mask[row]
        first = 0
        while first < width and not line[first] > HALF:
            first += 1
        if first == width:
            continue
        last = width - 1
        while last > right and not line[last] > HALF:
            last -= 1
        top, bottom = min(top, row), row
        left, right = min(left, first), max(right, last)
    if bottom < 0:
        top, bottom, left, right = 0, height - 1, 0, width - 1
    across, down = right - left + 1, bottom - top + 1
    side = max(across, down, SMALLEST_SIDE)
    place[0], place[1] = left - (side - across) // 2, top - (side - down) // 2
    place[2], place[3] = side, side


@inner_kernel
def columns_of(left: Any, width: Any, image_width: Any) -> tuple[Any, Any, Any, Any]:
    """The columns of a frame that the image has.

    Returns:
        the first of them, and that behind the last, counted from the frame's left; the first counted from there, and
        from the image's left, as unsigned numbers: Numba takes an index below 0 for one from the end, which keeps loops
        from being vectorised.
    """
    first, last = min(max(-left, 0), width), max(min(image_width - left, width), 0)
    return first, last, np.uint64(first), np.uint64(max(first + left, 0))


@inlined_kernel
def enter_row(image: Array, mask: Array, limit: np.float32, left: Any, top: Any, row: Any, out: Array) -> None:
    """One row of the frame's part of an image (C, H, W), whose mask is (H, W), into `out` (C, h, w).

    Black beyond the image and where the mask is not above the limit.
    """
    width, at = out.shape[2], row + top
    first, last, start, begin = columns_of(left, width, image.shape[2])
    within = 0 <= at < image.shape[1]
    field = mask[min(max(at, 0), image.shape[1] - 1)]
    for c in range(image.shape[0]):
        to = out[c, row]
        if within:
            line = image[c, at]
            for j in range(first):
                to[j] = _ZERO
            for j in range(last - first):
                k = begin + np.uint64(j)
                to[start + np.uint64(j)] = line[k] if field[k] > limit else _ZERO
            for j in range(last, width):
                to[j] = _ZERO
        else:
            for j in range(width):
                to[j] = _ZERO


@inner_kernel
def enter(image: Array, mask: Array, limit: np.float32, left: Any, top: Any, begin: Any, end: Any, out: Array) -> None:
    """`enter_row` of the frame's rows begin to end - 1."""
    for row in range(begin, end):
        enter_row(image, mask, limit, left, top, row, out)


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
