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
    added to each derivative in the colored image.
    """
    channels, height, width = g.shape
    to_mean = 0.0
    for row in range(height):
        to_contrast, to_saturation, kept = _ZERO, _ZERO, _ZERO
        if channels == 1:
            line, to = image[0, row], g[0, row]
            for j in range(width):
                away = min(brightness * line[j], _ONE) - mean
                x = mean + contrast * away
                k = to[j] + more if (x >= _ZERO) & (x <= _ONE) else _ZERO
                to_contrast += k * away
                kept += k
                to[j] = contrast * k
        else:
            red, green, blue = image[0, row], image[1, row], image[2, row]
            to_red, to_green, to_blue = g[0, row], g[1, row], g[2, row]
            for j in range(width):
                r0 = min(brightness * red[j], _ONE) - mean
                g0 = min(brightness * green[j], _ONE) - mean
                b0 = min(brightness * blue[j], _ONE) - mean
                r1, g1, b1 = mean + contrast * r0, mean + contrast * g0, mean + contrast * b0
                r2, g2, b2 = min(max(r1, _ZERO), _ONE), min(max(g1, _ZERO), _ONE), min(max(b1, _ZERO), _ONE)
                luma = RED * r2 + GREEN * g2 + BLUE * b2
                r2, g2, b2 = r2 - luma, g2 - luma, b2 - luma
                r3, g3, b3 = luma + saturation * r2, luma + saturation * g2, luma + saturation * b2
                r = to_red[j] + more if (r3 >= _ZERO) & (r3 <= _ONE) else _ZERO
                h = to_green[j] + more if (g3 >= _ZERO) & (g3 <= _ONE) else _ZERO
                b = to_blue[j] + more if (b3 >= _ZERO) & (b3 <= _ONE) else _ZERO
                to_saturation += r * r2 + h * g2 + b * b2
                grey = (_ONE - saturation) * (r + h + b)
                r = saturation * r + RED * grey if (r1 >= _ZERO) & (r1 <= _ONE) else _ZERO
                h = saturation * h + GREEN * grey if (g1 >= _ZERO) & (g1 <= _ONE) else _ZERO
                b = saturation * b + BLUE * grey if (b1 >= _ZERO) & (b1 <= _ONE) else _ZERO
                to_contrast += r * r0 + h * g0 + b * b0
                kept += r + h + b
                to_red[j], to_green[j], to_blue[j] = contrast * r, contrast * h, contrast * b
        to_factors[1] += float(to_contrast)
        to_factors[2] += float(to_saturation)
        to_mean += float(kept)
    return float(to_mean * (1.0 - contrast))


@inner_kernel
def brightness_adjoint(image: Array, brightness: Any, more: Any, g: Array) -> float:
    """To the derivatives in the image, `g` in place; returns that in the brightness.

    `more` is that in the sum of the brightened image's luma.
    """
    channels, height, width = g.shape
    total = 0.0
    for c in range(channels):
        add = more if channels == 1 else more * (RED if c == 0 else (GREEN if c == 1 else BLUE))
        for row in range(height):
            line, to = image[c, row], g[c, row]
            part = _ZERO
            for j in range(width):
                kept = to[j] + add if brightness * line[j] <= _ONE else _ZERO
                part += kept * line[j]
                to[j] = brightness * kept
            total += float(part)
    return total
