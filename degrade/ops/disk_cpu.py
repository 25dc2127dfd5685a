"""Which pixels belong to a disk, as loops see it: rows are chords; lengths are in pixels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from degrade.jit.compiler import inner_kernel


@inner_kernel
def chord(x: float, radius: float, dy: float, width: int) -> tuple[int, int]:
    """First column of a disk in the row at distance dy, and the one after its last; the rim belongs to the disk."""
    square = radius * radius * (1 + 1e-6) - dy * dy  # whole numbers on the rim must not hang on rounding
    if square < 0 or radius < 0:
        return 0, 0
    half = math.sqrt(square)
    begin = min(max(math.ceil(x - half), 0), width)
    end = min(max(math.floor(x + half) + 1, 0), width)
    return begin, max(begin, end)


@inner_kernel
def rim(dx: float, dy: float, radius: float, softness: float) -> Any:
    """How far a pixel at this distance from the center belongs to a disk that has it in its `chord`, rim included."""
    if softness == 0:
        return np.float32(1)
    return np.float32(min(max((radius - math.sqrt(dx * dx + dy * dy)) / softness + 0.5, 0.0), 1.0))


@inner_kernel
def rows_of(y: float, radius: float, height: int) -> tuple[int, int]:
    """The first row that a disk can have a part in, and the one after the last."""
    top = min(max(math.floor(y - radius), 0), height)
    return top, max(min(math.ceil(y + radius) + 1, height), top)


@inner_kernel
def is_all_around(center: Any, inner: Any, outer: Any, reach: int, height: int, width: int) -> bool:
    """Whether the ring is the whole frame but for the inner disk: the blur of ones is 1 if it is reflected but once."""
    x_far, y_far = max(center[0], width - 1 - center[0]), max(center[1], height - 1 - center[1])
    return inner >= 0 and outer > 0 and x_far * x_far + y_far * y_far < outer * outer and reach < min(height, width)
