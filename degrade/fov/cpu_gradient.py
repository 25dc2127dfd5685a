"""The way back of an image's frame: the image into it, black outside, and the derivatives in it out of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fov.cpu_frames import HALF, NO_LIMIT
from degrade.jit.compiler import kernel
from degrade.memory import Planes

Array = NDArray[np.float32]


def back_in_frame(
    image: Array,
    mask: Array,
    gradient: Array,
    frame: Any,
    framed: bool,
    planes: Planes,
    out: Array | None,
    back: Callable[[Array, float, Array], None],
) -> None:
    """The derivatives in a degraded image, `gradient`, to those in the image, into `out` if that is not None.

    Args:
        image, gradient: (C, H, W).
        mask: (H, W), which the degraded image was multiplied by.
        frame: left, top, width and height of the frame in pixels.
        framed: whether the image is black where the mask is not above 0.5.
        planes: for at most 2 C numbers for each pixel of the frame and C for each of the image.
        back: from the frame's image (C, h, w), the mean of the mask in it, and the derivatives in what it is degraded
            to, to those in the frame's image, in place.
    """
    left, top, width, height = (int(number) for number in frame)
    shape = len(image), height, width
    if not gradient.flags.c_contiguous:  # as that of a sum is
        given = planes(image.shape)
        np.copyto(given, gradient)
        gradient = given
    whole = (left, top, height, width) == (0, 0, *image.shape[1:])
    g = out if out is not None and whole else planes(shape)
    source = planes(shape) if framed else image
    area = enter(image, mask, gradient, left, top, framed, source, g)
    back(source, area, g)
    if out is not None and (framed or not whole):
        leave(g, mask, left, top, framed, out)


@kernel
def enter(image: Array, mask: Array, g: Array, left: int, top: int, framed: bool, out: Array, to: Array) -> float:
    """What lies in the frame of an image (C, H, W) into `out`, black outside of it and of the mask (H, W) if `framed`.

    `g`, the derivatives in the degraded image, times the mask go into `to`. Returns the mean of the mask in the frame.
    """
    channels, height, width = out.shape
    area, limit = 0.0, HALF if framed else NO_LIMIT
    first, last = max(-left, 0), min(image.shape[2] - left, width)
    for row in range(height):
        within = 0 <= row + top < image.shape[1]
        for c in range(channels):
            line, back = out[c, row], to[c, row]
            if not within or first > 0 or last < width:
                for j in range(width):
                    line[j] = back[j] = np.float32(0)
            if not within or last <= first:
                continue
            inside, source = mask[row + top, left + first :], image[c, row + top, left + first :]
            given, line, back = g[c, row + top, left + first :], line[first:last], back[first:last]
            part = np.float32(0)
            for j in range(len(line)):
                line[j] = source[j] if inside[j] > limit else np.float32(0)
                back[j] = given[j] * inside[j]
                part += inside[j]
            if c == 0:
                area += float(part)
    return float(area / (height * width))


@kernel
def leave(g: Array, mask: Array, left: int, top: int, framed: bool, out: Array) -> None:
    """The derivatives in the frame's image to those in the image that `enter` was given."""
    channels, height, width = out.shape
    limit = HALF if framed else NO_LIMIT
    first, last = min(max(left, 0), width), max(min(left + g.shape[2], width), 0)
    for c in range(channels):
        for row in range(height):
            to = out[c, row]
            within = top <= row < top + g.shape[1] and first < last
            if not within or first > 0 or last < width:
                for j in range(width):
                    to[j] = np.float32(0)
            if within:
                line, inside, to = g[c, row - top, first - left :], mask[row, first:], to[first:last]
                for j in range(len(to)):
                    to[j] = line[j] if inside[j] > limit else np.float32(0)
