"""The wide fields of a packed row, the ring of a light leak and the dark disk, in pixels of a frame."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, kernel
from degrade.models.fundus import table as at
from degrade.models.fundus.constants import SMOOTH
from degrade.ops.constants import LUMA
from degrade.ops.fields_cpu import wide_field
from degrade.ops.taps_cpu import taps

Array = NDArray[np.float32]


@inner_kernel
def ring_lines(
    row: Array, interpolate: bool, weights: Array, softness: Any, lines: Array, plane: Array
) -> tuple[Array, Array]:
    """The blurred ring as lines, and the weights between them.

    Args:
        row: of the packed parameters.
        interpolate: whether it may be, where its kernel is wide.
        weights: (powers, largest step, 6): `weights_between` of the steps 1, 2, 4, ...
        softness: width of the rims, of the side.
        lines, plane: (H, W) to write to; the result may be in `plane`.
    """
    side, size = min(plane.shape[0], plane.shape[1]), row[at.HALO_KERNEL]
    power = _power(size * side, interpolate, weights)
    half = taps(size, row[at.HALO_SIGMA], side)
    inner, outer = length(row[at.HALO_INNER], side), length(row[at.HALO_OUTER], side)
    center, soft = pixel(row[at.HALO_CENTER], row[at.HALO_CENTER + 1], plane.shape), length(softness, side)
    ring = wide_field(center, min(inner, outer), max(inner, outer), soft, half, half, 1 << power, lines, plane)
    return ring, weights[power, : 1 << power]


@inner_kernel
def dark_lines(
    row: Array, interpolate: bool, weights: Array, softness: Any, lines: Array, plane: Array
) -> tuple[Array, Array]:
    """As `ring_lines`, of the blurred dark disk."""
    side, sigma = min(plane.shape[0], plane.shape[1]), row[at.HOLE_SIGMA]
    x_size, y_size = row[at.HOLE_KERNEL], row[at.HOLE_KERNEL + 1]
    power = _power(min(x_size, y_size) * side, interpolate, weights)
    across, down = taps(x_size, sigma, side), taps(y_size, sigma, side)
    center, soft = pixel(row[at.HOLE_CENTER], row[at.HOLE_CENTER + 1], plane.shape), length(softness, side)
    dark = wide_field(center, -1.0, length(row[at.HOLE_RADIUS], side), soft, across, down, 1 << power, lines, plane)
    return dark, weights[power, : 1 << power]


@inner_kernel
def light_of(row: Array, amount: Any, channels: int) -> Array:
    """The color of the light leak, (C,); its luma for grey images."""
    color = row[at.HALO_COLOR : at.HALO_COLOR + 3]
    light = np.empty(channels, np.float32)
    if channels == 1:
        light[0] = amount * (LUMA[0] * color[0] + LUMA[1] * color[1] + LUMA[2] * color[2])
    else:
        for c in range(channels):
            light[c] = amount * color[c]
    return light


@inner_kernel
def pixel(x: Any, y: Any, size: tuple[int, int]) -> tuple[float, float]:
    """Column and row of a point in fractions of the frame; pixel i is centered at (i + 1/2) / W."""
    return length(x, size[1]) - 0.5, length(y, size[0]) - 0.5


@inner_kernel
def length(fraction: Any, side: int) -> float:
    """Convert a fraction of `side` to pixels."""
    return float(fraction) * side


@kernel
def _power(kernel_size: float, interpolate: bool, weights: Array) -> int:
    """Exponent p of the grid step 2**p: the coarsest that a kernel of this many pixels allows."""
    power = 0
    while interpolate and power + 1 < len(weights) and SMOOTH * (2 << power) <= kernel_size:
        power += 1
    return power
