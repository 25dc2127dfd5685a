"""The adjoints of color, halo and hole: from the derivatives in an image to those in the one before each stage.

What a stage was given is made again in the same loops, a row at a time, from the colored image or from the one before.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel
from degrade.models.fundus.cpu_stages import BLUE, GREEN, RED
from degrade.ops.fields_adjoint_cpu import spread_row
from degrade.ops.fields_cpu import field_rows

Array = NDArray[np.float32]
Sums = NDArray[np.float64]

_ONE, _ZERO = np.float32(1), np.float32(0)
_ROWS = 16


@inner_kernel
def hole_adjoint(
    colored: Array,
    light: Array,
    ring: Array,
    ring_weights: Array,
    depth: Any,
    dark: Array,
    dark_weights: Array,
    g: Array,
    to_dark: Array,
) -> float:
    """To the derivatives in the image before the hole, `g` in place, and in the lines of the dark disk, over -depth.

    Returns that in the depth.
    """
    channels, height, width = g.shape
    rings, darks, both = (
        np.empty((_ROWS, width), np.float32),
        np.empty((_ROWS, width), np.float32),
        np.empty(width, np.float32),
    )
    total = 0.0
    for top in range(0, height, _ROWS):
        count = field_rows(ring, ring_weights, top, height, rings)
        field_rows(dark, dark_weights, top, height, darks)
        for i in range(count):
            leak, shade = rings[i], darks[i]
            for j in range(width):
                both[j] = _ZERO
            for c in range(channels):
                line, to, amount = colored[c, top + i], g[c, top + i], light[c]
                for j in range(width):
                    x = min(max(line[j] + amount * leak[j], _ZERO), _ONE) - depth * shade[j]
                    kept = to[j] if (x >= _ZERO) & (x <= _ONE) else _ZERO
                    to[j] = kept
                    both[j] += kept
            part = _ZERO
            for j in range(width):
                part += both[j] * shade[j]
            total -= float(part)
            if len(to_dark):
                spread_row(both, dark_weights, top + i, to_dark)
    return total


@inner_kernel
def halo_adjoint(
    colored: Array, light: Array, ring: Array, weights: Array, more: Any, g: Array, to_ring: Array, to_light: Sums
) -> None:
    """To the derivatives in the colored image, `g` in place, in the light (C,), and in the lines of the ring.

    `more` is added to the derivative in each number of the image with the halo.
    """
    channels, height, width = g.shape
    rings, both = np.empty((_ROWS, width), np.float32), np.empty(width, np.float32)
    for top in range(0, height, _ROWS):
        count = field_rows(ring, weights, top, height, rings)
        for i in range(count):
            leak = rings[i]
            for j in range(width):
                both[j] = _ZERO
            for c in range(channels):
                line, to, amount = colored[c, top + i], g[c, top + i], light[c]
                part = _ZERO
                for j in range(width):
                    x = line[j] + amount * leak[j]
                    kept = to[j] + more if (x >= _ZERO) & (x <= _ONE) else _ZERO
                    to[j] = kept
                    both[j] += amount * kept
                    part += kept * leak[j]
                to_light[c] += float(part)
            if len(to_ring):
                spread_row(both, weights, top + i, to_ring)


@inner_kernel
def color_adjoint(
    image: Array, mean: Any, brightness: Any, contrast: Any, saturation: Any, more: Any, g: Array, to_factors: Sums
) -> float:
    """From saturation and contrast to the brightened image, `g` in place, its mean luma's part left out.

    Adds to the derivatives in contrast and saturation, `to_factors[1:]`; returns that in the mean luma. `more` is
    added to each derivative in the colored image. A grey image is its own luma.

    In three short loops over a row, as what has more arrays than these have is not vectorised.
    """
    channels, height, width = g.shape
    luma, grey, to_mean = np.empty(width, np.float32), np.empty(width, np.float32), 0.0
    for row in range(height):
        to_contrast, to_saturation, total = _ZERO, _ZERO, _ZERO
        for j in range(width):
            luma[j] = grey[j] = _ZERO
        for c in range(channels):
            line, weight = image[c, row], share_of(c, channels)
            for j in range(width):
                x = mean + contrast * (min(brightness * line[j], _ONE) - mean)
                luma[j] += weight * min(max(x, _ZERO), _ONE)
        for c in range(channels):
            line, to = image[c, row], g[c, row]
            for j in range(width):
                x = mean + contrast * (min(brightness * line[j], _ONE) - mean)
                away = min(max(x, _ZERO), _ONE) - luma[j]
                x = luma[j] + saturation * away
                kept = to[j] + more if (x >= _ZERO) & (x <= _ONE) else _ZERO
                to[j] = kept
                grey[j] += kept
                to_saturation += kept * away
        for c in range(channels):
            line, to, part = image[c, row], g[c, row], share_of(c, channels) * (_ONE - saturation)
            for j in range(width):
                away = min(brightness * line[j], _ONE) - mean
                x = mean + contrast * away
                kept = saturation * to[j] + part * grey[j] if (x >= _ZERO) & (x <= _ONE) else _ZERO
                to[j] = contrast * kept
                to_contrast += kept * away
                total += kept
        to_factors[1] += float(to_contrast)
        to_factors[2] += float(to_saturation)
        to_mean += float(total)
    return float(to_mean * (1.0 - contrast))


@inner_kernel
def share_of(c: int, channels: int) -> Any:
    """The weight of a channel in the luma."""
    if channels == 1:
        return _ONE
    return RED if c == 0 else (GREEN if c == 1 else BLUE)


@inner_kernel
def brightness_adjoint(image: Array, brightness: Any, more: Any, g: Array) -> float:
    """To the derivatives in the image, `g` in place; returns that in the brightness.

    `more` is that in the sum of the brightened image's luma.
    """
    channels, height, width = g.shape
    total = 0.0
    for c in range(channels):
        add = more * share_of(c, channels)
        for row in range(height):
            line, to = image[c, row], g[c, row]
            part = _ZERO
            for j in range(width):
                kept = to[j] + add if brightness * line[j] <= _ONE else _ZERO
                part += kept * line[j]
                to[j] = brightness * kept
            total += float(part)
    return total
