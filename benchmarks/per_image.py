"""The baseline: degrading one image at a time with Pillow and OpenCV, the usual way.

What scripts around the Cofe-Net degradation do for type 111 (illumination, spots, blur): 8-bit color steps with
Pillow's ImageEnhance, then OpenCV with full-frame blurs: one of a color ring and one of a disk with kernels of 100
to 300 taps, one for each of 5 to 10 spots, and the last of the image. Lengths are those of a 512 frame, scaled with
the image. Scripts leave NumPy its default, float64; float32 throughout is the kinder opponent, so both are timed.

    python -m benchmarks.per_image
"""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

try:
    import cv2
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("this benchmark needs OpenCV: pip install degrade-enhance[bench]") from error

TINTS = np.array([[251, 249, 246], [141, 238, 238], [177, 195, 147]]) / 255
Pixels = NDArray[Any]
Rng = np.random.Generator


def _whole(rng: Rng, low: float, high: float) -> int:
    """Uniform over the integers from low to high, both included."""
    return int(rng.integers(math.floor(low), math.floor(high), endpoint=True))


def _odd(k: int) -> int:
    return k if k % 2 else k + 1


def color(image: Pixels, rng: Rng) -> Pixels:
    """Brightness, contrast and saturation of a uint8 (H, W, 3) image."""
    picture = Image.fromarray(image)
    picture = ImageEnhance.Brightness(picture).enhance(rng.uniform(0.7, 1.2))
    picture = ImageEnhance.Contrast(picture).enhance(rng.uniform(0.6, 1.4))
    return np.asarray(ImageEnhance.Color(picture).enhance(rng.uniform(0.6, 1.4)))


def halo(x: Pixels, rng: Rng) -> Pixels:
    height, width = x.shape[:2]
    tint = _whole(rng, 1, 2)
    cx = _whole(rng, width // 2 - width // 8, width // 2 + width // 8)
    cy = _whole(rng, height // 2 - height // 8, height // 2 + height // 8)
    side = min(height, width)
    inner = side * rng.uniform(0.75, 1)
    reach = math.floor(math.sqrt(max(cx, height - cx) ** 2 + max(cy, height - cy) * max(cy, width - cy)))
    outer = side * (1 + (2 * reach / side - 1) * rng.uniform()) + abs(
        max(cx - width / 2, cy - height / 2) + max(width, height) / 2
    )
    disks = []
    for diameter in (inner, outer):
        disk = np.zeros((height, width, 3), x.dtype)
        cv2.circle(disk, (cx, cy), math.floor(diameter / 2), (1.0, 1.0, 1.0), -1)
        disks.append(disk)
    ring = np.abs(disks[0] - disks[1]) * x.mean() * TINTS[tint].astype(x.dtype)
    k = math.floor(abs(2 * max(cx, height - cx, cy, height - cy) - inner))
    ring = cv2.GaussianBlur(ring, (_odd(k), _odd(k)), max(2 * k / 3, 1e-3))
    return np.clip(x + ring, 0, 1)


def hole(x: Pixels, mask: Pixels, rng: Rng) -> Pixels:
    height, width = x.shape[:2]
    diameter = _whole(rng, 0.4 * width, 0.7 * width)
    center = (_whole(rng, width / 4, 3 * width / 4), _whole(rng, 3 * height / 8, 5 * height / 8))
    mean = x.sum() / (3 * mask.sum())
    amplitude = 0.0  # dark images are spared
    if mean > 0.25:
        base = rng.uniform(-0.262, -0.26)
        amplitude = rng.uniform(base - 0.06 * mean, base - 0.05 * mean)
    disk = np.zeros((height, width), x.dtype)
    cv2.circle(disk, center, diameter // 2, 1.0, -1)
    kw, kh = (_whole(rng, 0.55 * diameter, 0.75 * diameter) for _ in range(2))
    disk = cv2.GaussianBlur(disk, (_odd(kw), _odd(kh)), 0.8 * max(kw, kh))
    return np.clip(x + amplitude * disk[..., None], 0, 1)


def spots(x: Pixels, rng: Rng) -> Pixels:
    height, width = x.shape[:2]
    scale = height / 512
    for _ in range(_whole(rng, 5, 10)):
        radius = _whole(rng, math.ceil(0.01 * height), max(0.05 * height, math.ceil(0.01 * height)))
        center = (_whole(rng, radius + 1, width - radius - 1), _whole(rng, radius + 1, height - radius - 1))
        q = radius / scale / 25
        level = (14 / 25 + 1 - q) * (1 - math.exp(-(0.5 + q) * 0.3 * q))
        sigma = 2 * (5 + 20 * q) * scale
        kw, kh = (_odd(_whole(rng, sigma / 5, sigma / 4)) for _ in range(2))
        disk = np.zeros((height, width), x.dtype)
        cv2.circle(disk, center, radius // 2, level, -1)
        x = np.clip(x + cv2.GaussianBlur(disk, (kw, kh), sigma)[..., None], 0, 1)
    return x


def blur(x: Pixels, rng: Rng) -> Pixels:
    sigma = rng.uniform(5, 15) * x.shape[0] / 512
    kw, kh = (_odd(_whole(rng, sigma / 3, sigma / 2)) for _ in range(2))
    return np.clip(cv2.GaussianBlur(x, (kw, kh), sigma), 0, 1)


def degrade_image(image: Pixels, mask: Pixels, rng: Rng, dtype: type = np.float64) -> Pixels:
    """Degrade one image as Cofe-Net's type 111.

    Args:
        image: uint8 (H, W, 3), RGB.
        mask: (H, W), nonzero inside the field of view.
        rng: where every parameter comes from.
        dtype: of the arithmetic.

    Returns:
        uint8 (H, W, 3), black outside the mask.

    >>> square = np.full((64, 64, 3), 128, np.uint8)
    >>> degrade_image(square, square[..., 0], np.random.default_rng(0)).shape
    (64, 64, 3)
    """
    inside = (mask > 0).astype(dtype)
    x = color(image, rng).astype(dtype) / 255
    x = halo(x, rng)
    x = hole(x, inside, rng)
    x = spots(x, rng)
    x = blur(x, rng)
    return (x * inside[..., None] * 255).astype(np.uint8)


def main(size: int = 512, repeats: int = 20) -> float:
    """Print and return the median milliseconds for one image."""
    y, x = np.mgrid[:size, :size]
    mask = ((x - size / 2) ** 2 + (y - size / 2) ** 2 < (0.48 * size) ** 2).astype(np.uint8)
    image = np.random.default_rng(0).integers(60, 200, (size, size, 3), dtype=np.uint8) * mask[..., None]
    times = []
    for seed in range(repeats):
        rng = np.random.default_rng(seed)
        start = time.perf_counter()
        degrade_image(image, mask, rng)
        times.append(1000 * (time.perf_counter() - start))
    median = statistics.median(times)
    print(f"per image, {size} x {size}, Pillow + OpenCV: {median:.1f} ms (median of {repeats})")
    return median


if __name__ == "__main__":
    main()
