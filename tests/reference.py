"""The Cofe-Net and cataract degradations in float64 NumPy: independent, and what the package must equal.

Written from the formulas alone; it shares no code with the package and is no part of it. Images are float64
arrays (3, H, W) in [0, 1], RGB. Points are (x, y) in pixels, x to the right and y down, pixel centres at
integers. Lengths are in pixels of the frame at hand; the released constants belong to frames of 512. Every
step clips to [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Point = tuple[float, float]

LUMA = np.array([0.299, 0.587, 0.114])
TINTS = np.array([[251, 249, 246], [141, 238, 238], [177, 195, 147]]) / 255.0
RELEASE_SIZE = 512


def odd(k: int) -> int:
    """k if odd, else k + 1.

    >>> odd(4), odd(5)
    (5, 5)
    """
    return k + 1 - k % 2


def luma(x: Array) -> Array:
    """(3, H, W) -> (H, W)."""
    return np.einsum("c,chw->hw", LUMA, x)


def disk(height: int, width: int, center: Point, radius: int) -> Array:
    """The filled disk (H, W), 1 where dx^2 + dy^2 <= radius^2 and 0 elsewhere.

    >>> disk(3, 3, (1, 1), 1).sum()
    np.float64(5.0)
    """
    dx = np.arange(width)[None, :] - center[0]
    dy = np.arange(height)[:, None] - center[1]
    return (dx**2 + dy**2 <= radius**2).astype(np.float64)


def taps(size: int, sigma: float) -> Array:
    """The normalised Gaussian of standard deviation `sigma` cut to an odd number of taps.

    >>> taps(3, 1e9).round(6).tolist()
    [0.333333, 0.333333, 0.333333]
    """
    if size % 2 != 1:
        raise ValueError(f"size must be odd, got {size}")
    if size == 1:
        return np.ones(1)
    offsets = np.arange(size) - size // 2
    weights = np.exp(-(offsets**2) / (2.0 * sigma**2))
    return weights / weights.sum()


def band(n: int, size: int, sigma: float) -> Array:
    """The blur of a line of n pixels as an (n, n) matrix; borders reflect without repeating the edge."""
    weights = taps(size, sigma)
    source = np.arange(n)[:, None] + np.arange(size)[None, :] - size // 2
    if n > 1:  # reflected as often as needed: a wide kernel on a short line bounces more than once
        source %= 2 * (n - 1)
        source = np.minimum(source, 2 * (n - 1) - source)
    else:
        source[:] = 0
    matrix = np.zeros((n, n))
    np.add.at(matrix, (np.arange(n)[:, None], source), weights[None, :])
    return matrix


def gaussian(x: Array, kernel_width: int, kernel_height: int, sigma: float) -> Array:
    """The release kernel G(kw, kh, sd) applied to the last two axes of (..., H, W)."""
    vertical = band(x.shape[-2], kernel_height, sigma)
    horizontal = band(x.shape[-1], kernel_width, sigma)
    return vertical @ x @ horizontal.T


def _clip(x: Array) -> Array:
    return np.clip(x, 0.0, 1.0)


def _brightness(x: Array, factor: float) -> Array:
    return _clip(factor * x)


def _contrast(x: Array, factor: float) -> Array:
    mean = luma(x).mean()
    return _clip(mean + factor * (x - mean))


def _saturation(x: Array, factor: float) -> Array:
    grey = luma(x)[None]
    return _clip(grey + factor * (x - grey))


def colour(x: Array, brightness: float, contrast: float, saturation: float) -> Array:
    """Brightness, then contrast about the frame's mean luma, then saturation about each pixel's own luma."""
    return _saturation(_contrast(_brightness(x, brightness), contrast), saturation)


def halo(x: Array, tint: int, center: Point, inner_diameter: float, outer_diameter: float) -> Array:
    """The light leak: a blurred ring between two diameters, as bright as the image's mean, in a tint."""
    _, height, width = x.shape
    cx, cy = center
    ring = np.abs(
        disk(height, width, center, math.floor(inner_diameter / 2))
        - disk(height, width, center, math.floor(outer_diameter / 2))
    )
    k = math.floor(abs(2 * max(cx, height - cx, cy, height - cy) - inner_diameter))
    glow = gaussian(ring * x.mean(), odd(k), odd(k), 2 * k / 3)
    return _clip(x + TINTS[tint][:, None, None] * glow)


def hole(
    x: Array,
    center: Point,
    diameter: float,
    amplitude: float,
    kernel_width: int,
    kernel_height: int,
    sigma: float,
) -> Array:
    """The uneven exposure: a blurred disk of height `amplitude` (negative darkens). Kernel sizes are odd."""
    _, height, width = x.shape
    shade = gaussian(disk(height, width, center, math.floor(diameter / 2)), kernel_width, kernel_height, sigma)
    return _clip(x + amplitude * shade)


def spot_height(radius: float, size: int = RELEASE_SIZE) -> float:
    """The height A (1 - t) of a spot drawn with `radius` in a frame of `size` pixels.

    >>> round(spot_height(25), 4)
    0.2029
    """
    q = radius * RELEASE_SIZE / size / 25
    return (14 / 25 + 1 - q) * (1 - math.exp(-(0.5 + q) * 0.3 * q))


def spots(x: Array, items: Sequence[Mapping[str, Any]]) -> Array:
    """Grey blurred disks, one after the other.

    Each item has `center` (x, y), `radius` (as drawn: the disk's own is half of it), `rad_w` and `rad_h` (odd
    kernel sizes) and `sigma`, in pixels.
    """
    _, height, width = x.shape
    for item in items:
        spot = disk(height, width, item["center"], math.floor(item["radius"] / 2))
        spot *= spot_height(item["radius"], height)
        x = _clip(x + gaussian(spot, item["rad_w"], item["rad_h"], item["sigma"]))
    return x


def blur(x: Array, kernel_width: int, kernel_height: int, sigma: float) -> Array:
    """The same release kernel on every channel."""
    return _clip(gaussian(x, kernel_width, kernel_height, sigma))


def veil(mask: Array, center: Point) -> Array:
    """The cataract's veil map (H, W): smoothed distance to `center` within the mask (H, W), maximum 1."""
    height, width = mask.shape
    dx = np.arange(width)[None, :] - center[0]
    dy = np.arange(height)[:, None] - center[1]
    # 1.1 is OpenCV's rule for 5 taps, 0.3 ((5 - 1) / 2 - 1) + 0.8. Given sigma 0 it takes the binomial 1 4 6 4 1
    # instead: at 512 a difference of 8e-5 of the maximum at most, next to the centre, where the veil is near 0.
    field = gaussian(np.sqrt(dx**2 + dy**2), 5, 5, 1.1) * mask
    return field / field.max()


def cataract(
    x: Array,
    mask: Array,
    kernel: int,
    sigma: float,
    center: Point,
    strength: float,
    contrast: float,
    brightness: float,
    saturation: float,
) -> Array:
    """A lens opacity: blur, a veil that grows away from `center`, colour; black outside the mask (H, W)."""
    blurred = gaussian(x, kernel, kernel, sigma)
    brightest = blurred.max(axis=(1, 2), keepdims=True)
    x = _clip(0.8 * blurred + strength * veil(mask, center) * (brightest - blurred))
    x = _saturation(_brightness(_contrast(x, contrast), brightness), saturation)
    return x * mask
