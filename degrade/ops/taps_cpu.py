"""A kernel's taps, `degrade.ops.blur.taps`, and their derivatives in its size and sigma, as loops call for them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel
from degrade.ops.constants import REFERENCE_SIDE

Array = NDArray[np.float32]

_PIXEL_SQUARED = 1 / REFERENCE_SIDE**2


@inner_kernel
def reach_of(size: Any, side: int) -> int:
    """`degrade.ops.blur.reach_of`."""
    return math.ceil((_width(size, side) - 1) / 2)


@inner_kernel
def taps(size: Any, sigma: Any, side: int) -> Array:
    """`degrade.ops.blur.taps` of one kernel, as many as it has: of its half, center first."""
    half, width, sigma = np.empty(reach_of(size, side) + 1, np.float32), _width(size, side), float(sigma) * side
    whole = math.floor((width - 1) / 2)
    variance = (width * width - 1) / 12
    spread = whole * (whole + 1) * (2 * whole + 1) / 6  # sum of squares of the whole taps' distances
    fraction = (variance * (2 * whole + 1) - 2 * spread) / (2 * ((whole + 1) * (whole + 1) - variance))
    total = 0.0
    for lag in range(len(half)):
        weight = (fraction if lag > whole else 1.0) * math.exp(-0.5 * (lag / sigma) * (lag / sigma))
        half[lag] = weight
        total += weight if lag == 0 else 2 * weight
    for lag in range(len(half)):
        half[lag] /= total
    return half


@inner_kernel
def _width(size: Any, side: int) -> float:
    """Of the box with the kernel's variance, in pixels."""
    variance12 = side * side * (float(size) * float(size) - _PIXEL_SQUARED)
    # a whole kernel must not gain an empty pair of taps through rounding, hence the small allowance
    return math.sqrt(1 + variance12) if variance12 > 1e-9 else 1.0


@inner_kernel
def taps_and_one(size: Any, sigma: Any, side: int) -> Array:
    """As `taps`, with a tap of weight 0 behind the whole ones: what a kernel gains first when its size grows."""
    half = taps(size, sigma, side)
    longer = np.zeros(len(half) + 1, np.float32)
    for lag in range(len(half)):
        longer[lag] = half[lag]
    return longer


@inner_kernel
def taps_adjoint(size: Any, sigma: Any, side: int, to_half: NDArray[np.float64]) -> tuple[float, float]:
    """The derivatives in size and sigma, from those in the taps of `taps_and_one`.

    Where a whole pair of taps is complete the derivative in the size is that from above.
    """
    spread = float(sigma) * side
    variance = side * side * (float(size) * float(size) - _PIXEL_SQUARED) / 12
    whole = math.floor((_width(size, side) - 1) / 2)
    squares = whole * (whole + 1) * (2 * whole + 1) / 6
    top = max(variance, 0.0) * (2 * whole + 1) - 2 * squares
    bottom = 2 * ((whole + 1) * (whole + 1) - max(variance, 0.0))
    weights, total, mean = np.zeros(len(to_half)), 0.0, 0.0
    for lag in range(min(whole + 2, len(to_half))):
        weights[lag] = (1.0 if lag <= whole else top / bottom) * math.exp(-0.5 * (lag / spread) * (lag / spread))
        total += weights[lag] if lag == 0 else 2 * weights[lag]
        mean += to_half[lag] * weights[lag]
    mean /= total
    to_sigma, to_size = 0.0, 0.0
    for lag in range(1, len(to_half)):
        to_weight = (to_half[lag] - 2 * mean) / total
        to_sigma += to_weight * weights[lag] * lag * lag / (spread * spread * spread)
        if lag == whole + 1 and variance >= 0:
            slope = ((2 * whole + 1) * bottom + 2 * top) / (bottom * bottom)
            to_size = to_weight * math.exp(-0.5 * (lag / spread) * (lag / spread)) * slope * side * side * size / 6
    return to_size, to_sigma * side
