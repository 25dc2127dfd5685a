"""The cornea model of one image (C, H, W) forwards, as far as the way back needs it, and backwards."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, kernel
from degrade.models.cornea import table as at
from degrade.models.cornea.cpu_images import illuminate, kernel_of
from degrade.ops.blur_adjoint_cpu import blur_adjoint
from degrade.ops.blur_cpu import blur, window_for
from degrade.ops.taps_cpu import taps, taps_adjoint, taps_and_one

Array = NDArray[np.float32]
Sums = NDArray[np.float64]

_ZERO, _ONE = np.float32(0), np.float32(1)
_TERMS = 6  # of a quadratic surface


@kernel
def blurred(image: Array, row: Array, x: Array, y: Array, lit: Array, out: Array) -> None:
    """clip(gain x + haze) into `lit`, and its blur into `out`; x (W,) and y (H,) are the pixels' places, -1 to 1."""
    zero: Any = np.int64(0)  # a plain 0 would have every callee compiled twice
    channels, height, width = image.shape
    illuminate(image, row, x, y, lit, zero, height)
    half = taps(kernel_of(row[at.BLUR_SIGMA]), row[at.BLUR_SIGMA], min(height, width))
    inside = np.ones((1, width), np.float32)
    blur(lit, half, half, inside, out, zero, height, window_for(channels, width, half), zero, zero)


@kernel
def optics_adjoint(
    image: Array, row: Array, x: Array, y: Array, lit: Array, blur_too: bool, plane: Array, g: Array, to_row: Sums
) -> None:
    """From the derivatives in the blurred image, `g`, to those in the image, in place, and in the parameters.

    Args:
        x, y, lit: see `blurred`.
        blur_too: whether the derivative in the blur is asked for.
        plane: (H, W) to write to.
        to_row: added to, in the columns of `row`.
    """
    side, sigma = min(image.shape[1], image.shape[2]), row[at.BLUR_SIGMA]
    size = kernel_of(sigma)
    half = taps_and_one(size, sigma, side)
    to_half = np.zeros(len(half))
    blur_adjoint(lit, half, half, blur_too, g, plane, to_half, to_half)
    to_size, to_sigma = taps_adjoint(size, sigma, side, to_half)
    to_row[at.BLUR_SIGMA] += at.REACH * to_size + to_sigma
    to_gain, to_haze = np.zeros(_TERMS), np.zeros(_TERMS)
    _illumination_adjoint(image, row, x, y, g, to_gain, to_haze)
    low, haze = row[at.GAIN_LOW], row[at.HAZE]
    rise, high = row[at.GAIN_HIGH] - low, 0.0
    for k in range(_TERMS):
        high += to_gain[k] * row[at.GAIN_SHAPE + k]
        to_row[at.GAIN_SHAPE + k] += to_gain[k] * rise
        to_row[at.HAZE] += to_haze[k] * row[at.HAZE_SHAPE + k]
        to_row[at.HAZE_SHAPE + k] += to_haze[k] * haze
    to_row[at.GAIN_HIGH] += high
    to_row[at.GAIN_LOW] += to_gain[0] - high


@inner_kernel
def _illumination_adjoint(image: Array, row: Array, x: Array, y: Array, g: Array, to_gain: Sums, to_haze: Sums) -> None:
    """Of `illuminate`, `g` in place; adds the derivatives in the two surfaces' terms 1, x, y, x^2, xy, y^2."""
    low, haze = row[at.GAIN_LOW], row[at.HAZE]
    rise = row[at.GAIN_HIGH] - low
    p, q = row[at.GAIN_SHAPE : at.GAIN_SHAPE + 6], row[at.HAZE_SHAPE : at.HAZE_SHAPE + 6]
    for c in range(image.shape[0]):
        for i in range(image.shape[1]):
            v = y[i]
            gain0, gain1, gain2 = low + rise * (p[0] + v * (p[2] + p[5] * v)), rise * (p[1] + p[4] * v), rise * p[3]
            haze0, haze1, haze2 = haze * (q[0] + v * (q[2] + q[5] * v)), haze * (q[1] + q[4] * v), haze * q[3]
            line, to = image[c, i], g[c, i]
            a0, a1, a2, b0, b1, b2 = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
            for j in range(len(line)):
                u = x[j]
                gain, added = gain0 + u * (gain1 + u * gain2), haze0 + u * (haze1 + u * haze2)
                bright = gain * line[j] + added
                kept = to[j] if (bright >= _ZERO) & (bright <= _ONE) else _ZERO
                to[j] = gain * kept
                seen = kept * line[j]
                a0 += seen
                a1 += seen * u
                a2 += seen * u * u
                b0 += kept
                b1 += kept * u
                b2 += kept * u * u
            _add_terms(to_gain, v, a0, a1, a2)
            _add_terms(to_haze, v, b0, b1, b2)


@inner_kernel
def _add_terms(to: Sums, v: Any, one: Any, u: Any, square: Any) -> None:
    """From a row's sums over 1, x and x^2 to the terms of a surface."""
    to[0] += one
    to[1] += u
    to[2] += v * one
    to[3] += square
    to[4] += v * u
    to[5] += v * v * one
