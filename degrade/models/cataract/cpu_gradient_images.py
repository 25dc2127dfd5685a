"""The cataract model of one frame (C, H, W) forwards, as far as the way back needs it, and backwards."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, kernel
from degrade.models.cataract import table as at
from degrade.models.cataract.cpu_images import LEAST, add_up, center_of, cloud, draw_veil, smoothing_of
from degrade.ops.blur_adjoint_cpu import blur_adjoint
from degrade.ops.blur_cpu import blur, window_for
from degrade.ops.taps_cpu import taps, taps_adjoint, taps_and_one

Array = NDArray[np.float32]
Sums = NDArray[np.float64]

_ZERO, _ONE = np.float32(0), np.float32(1)


@kernel
def clouded(
    image: Array, mask: Array, row: Array, weights: Array, veil: Array, blurred: Array, out: Array
) -> tuple[Array, Array, np.float32, float]:
    """The veil's map into `veil` (1, H, W), and the image before contrast, brightness and saturation into `out`.

    Returns:
        the blurred image, which is `image` or `blurred`; the maxima of its channels (C,), that of the map, and the mean
        luma of `out`.
    """
    channels, height, width = image.shape
    zero: Any = np.int64(0)  # a plain 0 would have every callee compiled twice
    ones, brightest, totals = np.ones((1, width), np.float32), np.empty(channels, np.float32), np.empty(2 * channels)
    side, sigma = min(height, width), row[at.BLUR_SIGMA]
    thickest, _ = draw_veil(row, mask, veil)
    x_half, y_half = taps(row[at.BLUR_KERNEL], sigma, side), taps(row[at.BLUR_KERNEL + 1], sigma, side)
    acts = len(x_half) > 1 or len(y_half) > 1
    seen = blurred if acts else image
    if acts:
        blur(image, x_half, y_half, ones, blurred, zero, height, window_for(channels, width, y_half), zero, zero)
    add_up(seen, veil[0], zero, height, brightest, totals)
    density = row[at.VEIL] / max(thickest, LEAST)
    total = 0.0  # of what is in `out`: the way back adds up differences from its mean, where rounding must cancel
    for i in range(height):
        thick = veil[0, i]
        for c in range(channels):
            line, to, most, part = seen[c, i], out[c, i], brightest[c], _ZERO
            for j in range(width):
                to[j] = cloud(line[j], thick[j], row[at.TRANSMISSION], density, most)
            for j in range(width):
                part += to[j]
            total += float(weights[c]) * float(part)
    return seen, brightest, thickest, total / (height * width)


@kernel
def cloud_adjoint(
    image: Array,
    mask: Array,
    row: Array,
    weights: Array,
    clouded: Array,
    blurred: Array,
    brightest: Array,
    thickest: np.float32,
    mean: float,
    center_too: bool,
    image_too: bool,
    blur_too: bool,
    veil: Array,
    to_veil: Array,
    plane: Array,
    g: Array,
    to_row: Sums,
) -> None:
    """From the derivatives in the degraded image before the mask, `g`, to those in the image, and in the parameters.

    Args:
        image, mask, row, veil: as `clouded` was given them.
        weights: (C,) of the channels in the luma.
        clouded: what it has left in `out`.
        blurred, brightest, thickest, mean: what it returned.
        center_too, image_too, blur_too: which derivatives are asked for: of the veil's center, of what was blurred, in
            place in `g`, of the blur.
        to_veil, plane: (1, H, W) and (H, W) to write to.
        to_row: added to, in the columns of `row`.
    """
    channels, height, width = image.shape
    to_mean = _tone_adjoint(clouded, mean, row, weights, g, to_row)
    density = row[at.VEIL] / max(thickest, LEAST)
    to_brightest, more = np.zeros(channels), np.float32(to_mean / (height * width))
    to_density = _veil_adjoint(
        blurred, brightest, row[at.TRANSMISSION], density, veil[0], weights, more, g, to_veil[0], to_brightest, to_row
    )
    to_row[at.VEIL] += to_density / max(thickest, LEAST)
    if image_too:
        for c in range(channels):
            _add_to_maxima(blurred[c], brightest[c], to_brightest[c], g[c])
        _blur_adjoint(image, row, blur_too, g, plane, to_row)
    if center_too and thickest > LEAST:
        _add_to_maxima(veil[0], thickest, -to_density / float(thickest), to_veil[0])
        _center_adjoint(mask, row, density, to_veil, plane, to_row)


@inner_kernel
def _tone_adjoint(image: Array, exact_mean: float, row: Array, weights: Array, g: Array, to_row: Sums) -> float:
    """Of contrast, brightness and saturation, `g` in place, the part of the mean luma, which is returned, left out.

    A grey image is its own luma. In short loops over a row, as what has more arrays than these is not vectorised.
    """
    channels, height, width = g.shape
    contrast, brightness, saturation = row[at.CONTRAST], row[at.BRIGHTNESS], row[at.SATURATION]
    luma, grey, to_mean = np.empty(width, np.float32), np.empty(width, np.float32), 0.0
    mean = np.float32(exact_mean)
    for i in range(height):
        to_contrast, to_brightness, to_saturation, total = _ZERO, _ZERO, _ZERO, _ZERO
        for j in range(width):
            luma[j] = grey[j] = _ZERO
        for c in range(channels):
            line, weight = image[c, i], weights[c]
            for j in range(width):
                x = min(max(mean + contrast * (line[j] - mean), _ZERO), _ONE)
                luma[j] += weight * min(brightness * x, _ONE)
        for c in range(channels):
            line, to = image[c, i], g[c, i]
            for j in range(width):
                x = min(max(mean + contrast * (line[j] - mean), _ZERO), _ONE)
                away = min(brightness * x, _ONE) - luma[j]
                x = luma[j] + saturation * away
                kept = to[j] if (x >= _ZERO) & (x <= _ONE) else _ZERO
                to[j] = kept
                grey[j] += kept
                to_saturation += kept * away
        for c in range(channels):
            line, to, part = image[c, i], g[c, i], weights[c] * (_ONE - saturation)
            for j in range(width):
                away = line[j] - mean
                x = mean + contrast * away
                toned = min(max(x, _ZERO), _ONE)
                kept = saturation * to[j] + part * grey[j] if brightness * toned <= _ONE else _ZERO
                to_brightness += kept * toned
                kept = brightness * kept if (x >= _ZERO) & (x <= _ONE) else _ZERO
                to[j] = contrast * kept
                to_contrast += kept * away
                total += kept
        to_row[at.CONTRAST] += float(to_contrast)
        to_row[at.BRIGHTNESS] += float(to_brightness)
        to_row[at.SATURATION] += float(to_saturation) if channels > 1 else 0.0
        to_mean += float(total)
    to_row[at.CONTRAST] += to_mean * (float(mean) - exact_mean)  # a large sum, times what rounding has added
    return float(to_mean * (1.0 - contrast))


@inner_kernel
def _veil_adjoint(
    blurred: Array,
    brightest: Array,
    transmission: np.float32,
    density: np.float32,
    veil: Array,
    weights: Array,
    more: np.float32,
    g: Array,
    to_veil: Array,
    to_brightest: Sums,
    to_row: Sums,
) -> float:
    """Of `cloud`, `g` in place, with `more` added to the derivative in each pixel's luma.

    Those in the map, over the density, go into `to_veil`; those in the maxima and the transmission are added. Returns
    that in the density.
    """
    channels, height, width = g.shape
    to_density = 0.0
    for i in range(height):
        thick, both = veil[i], to_veil[i]
        for j in range(width):
            both[j] = _ZERO
        for c in range(channels):
            line, to, most, add = blurred[c, i], g[c, i], brightest[c], more * weights[c]
            to_transmission, to_most = _ZERO, _ZERO
            for j in range(width):
                veiled, away = density * thick[j], most - line[j]
                x = transmission * line[j] + veiled * away
                kept = to[j] + add if (x >= _ZERO) & (x <= _ONE) else _ZERO
                to[j] = kept * (transmission - veiled)
                both[j] += kept * away
                to_transmission += kept * line[j]
                to_most += kept * veiled
            to_row[at.TRANSMISSION] += float(to_transmission)
            to_brightest[c] += float(to_most)
        part = _ZERO
        for j in range(width):
            part += both[j] * thick[j]
        to_density += float(part)
    return to_density


@inner_kernel
def _add_to_maxima(plane: Array, most: np.float32, amount: float, g: Array) -> None:
    """Adds the derivative in the maximum of a plane, shared by all the pixels that have it, to theirs."""
    count = 0
    for i in range(len(plane)):
        line = plane[i]
        for j in range(len(line)):
            count += 1 if line[j] == most else 0
    each = np.float32(amount / max(count, 1))
    for i in range(len(plane)):
        line, to = plane[i], g[i]
        for j in range(len(line)):
            to[j] += each if line[j] == most else _ZERO


@inner_kernel
def _blur_adjoint(image: Array, row: Array, blur_too: bool, g: Array, plane: Array, to_row: Sums) -> None:
    """Of the blur, `g` in place."""
    side, sigma = min(image.shape[1], image.shape[2]), row[at.BLUR_SIGMA]
    x_size, y_size = row[at.BLUR_KERNEL], row[at.BLUR_KERNEL + 1]
    x_half, y_half = taps_and_one(x_size, sigma, side), taps_and_one(y_size, sigma, side)
    to_x_half, to_y_half = np.zeros(len(x_half)), np.zeros(len(y_half))
    blur_adjoint(image, x_half, y_half, blur_too, g, plane, to_x_half, to_y_half)
    to_x, x_sigma = taps_adjoint(x_size, sigma, side, to_x_half)
    to_y, y_sigma = taps_adjoint(y_size, sigma, side, to_y_half)
    to_row[at.BLUR_KERNEL] += to_x
    to_row[at.BLUR_KERNEL + 1] += to_y
    to_row[at.BLUR_SIGMA] += x_sigma + y_sigma


@inner_kernel
def _center_adjoint(mask: Array, row: Array, density: np.float32, to_veil: Array, plane: Array, to_row: Sums) -> None:
    """Of `draw_veil`, from the derivatives in the map over the density, `to_veil` (1, H, W), which is written to."""
    _, height, width = to_veil.shape
    x, y, scale = center_of(row, height, width)
    half = smoothing_of(min(height, width))
    for i in range(height):
        line, inside = to_veil[0, i], mask[i]
        for j in range(width):
            line[j] *= inside[j]
    no_taps: Any = np.zeros(0)
    blur_adjoint(to_veil, half, half, False, to_veil, plane, no_taps, no_taps)
    to_x: Any = 0.0
    to_y: Any = 0.0
    for i in range(height):
        line, dy = to_veil[0, i], np.float32(i) - np.float32(y)
        across, down = _ZERO, _ZERO
        for j in range(width):
            dx = np.float32(j) - np.float32(x)
            slope = line[j] / math.sqrt(max(dx * dx + dy * dy, np.float32(1e-12)))
            across += slope * dx
            down += slope
        to_x += float(across)
        to_y += float(down) * dy
    to_row[at.VEIL_CENTER] -= to_x * density * scale * width
    to_row[at.VEIL_CENTER + 1] -= to_y * density * scale * height
