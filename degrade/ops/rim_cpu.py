"""Soft rims of the disks of `fields_cpu`: their pixels, one by one, blurred along a row's nodes; and the adjoint."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel
from degrade.ops.disk_cpu import chord, rim

Array = NDArray[np.float32]
Sums = NDArray[np.float64]


@inner_kernel
def phases(half: Array, extent: int, step: int) -> Array:
    """The weights w(t) of a kernel at [(t + extent) % step, (t + extent) // step].

    The nodes of a row are `step` apart: in this order they read neighbours.
    """
    made = np.zeros((step, (2 * extent + 1) // step + 1), np.float32)
    for t in range(1 - len(half), len(half)):
        made[(t + extent) % step, (t + extent) // step] = half[abs(t)]
    return made


@inner_kernel
def add_rim(
    line: Array,
    weights: Array,
    extent: int,
    taps: int,
    x: float,
    dy: float,
    radius: float,
    softness: float,
    sign: Any,
    first: int,
    width: int,
) -> None:
    """Adds the blurred pixels of a row of a disk that are between its chord and the end of its rim."""
    begin, end = chord(x, radius - softness / 2, dy, width)
    low, high = chord(x, radius + softness / 2, dy, width)
    step = len(weights)
    for i in range(low, high):
        if begin <= i < end:
            continue
        part = sign * rim(i - x, dy, radius, softness)
        for side in range(3):  # the pixel, and its reflections
            at = _mirrored(i, side, width)
            near, far, o = _reached(at, taps, first, step, len(line), extent)
            weight, to = weights[o % step, o // step :], line[near:far]
            for j in range(len(to)):
                to[j] += part * weight[near + j]


@inner_kernel
def rim_adjoint(
    line: Array,
    weights: Array,
    to_weights: Array,
    extent: int,
    taps: int,
    x: float,
    dy: float,
    radius: float,
    softness: float,
    sign: Any,
    first: int,
    width: int,
    number: int,
    to_ring: Sums,
) -> None:
    """Of `add_rim`: adds to the derivatives in weights, center and radius number 0 or 1."""
    begin, end = chord(x, radius - softness / 2, dy, width)
    low, high = chord(x, radius + softness / 2, dy, width)
    step = len(weights)
    for i in range(low, high):
        if begin <= i < end:
            continue
        part, to_pixel = sign * rim(i - x, dy, radius, softness), np.float32(0)
        for side in range(3):
            at = _mirrored(i, side, width)
            near, far, o = _reached(at, taps, first, step, len(line), extent)
            weight, to, back = weights[o % step, o // step :], to_weights[o % step, o // step :], line[near:far]
            for j in range(len(back)):
                to[near + j] += part * back[j]
                to_pixel += weight[near + j] * back[j]
        if len(to_ring):
            distance = math.sqrt(max((i - x) * (i - x) + dy * dy, 1e-12))
            slope = sign * to_pixel / softness
            to_ring[0] += slope * (i - x) / distance
            to_ring[1] += slope * dy / distance
            to_ring[2 + number] += slope


@inner_kernel
def _mirrored(i: int, side: int, width: int) -> int:
    """The pixel itself, or its reflection on one side of the frame; far away for one that has none."""
    if side == 0:
        return i
    if side == 1:
        return -i if i > 0 else -8 * width
    return 2 * (width - 1) - i if i < width - 1 else 8 * width


@inner_kernel
def _reached(at: int, taps: int, first: int, step: int, count: int, extent: int) -> tuple[int, int, int]:
    """The first node that a pixel reaches, the one after the last, and the place of node 0's weight in `phases`."""
    near = min(max(-((at - taps - first) // -step), 0), count)
    far = max(min((at + taps - first) // step + 1, count), near)
    return near, far, max(first - at + extent, 0)
