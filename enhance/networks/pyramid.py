"""Laplacian pyramid features: frequency bands of an image, which degradations change less than the image.

Source: Liu et al., PCE-Net, MICCAI 2022, Eq. 1, and the released code.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from enhance.networks.blocks import double

_TAPS = tuple(math.exp(-(n**2) / 2) / sum(math.exp(-(m**2) / 2) for m in range(-2, 3)) for n in range(-2, 3))
_LIGHTER = 0.2  # than the median: what the surround is filled with, in units of [-1, 1]


def laplacian_pyramid(
    image: Tensor,
    mask: Tensor | None = None,
    levels: int = 4,
    gain: float = 4.0,
    clamp: bool = True,
    smooth_up: bool = True,
) -> list[Tensor]:
    """The bands p^l = gain (g^l - up(g^{l+1})), finest first, and the low-pass image g^levels.

    g^0 is the image and g^{l+1} every second pixel of g^l blurred (5 x 5 Gaussian, sigma 1, edges repeated). The paper
    has gain 1, no clamp and up = resizing, an invertible pyramid (`reconstruct`); the release, our default, multiplies
    by 4, clamps to [-1, 1] and blurs what it has resized. Only the release knows a mask.

    Args:
        image: (B, C, H, W) in [-1, 1]; sides multiples of 2^levels.
        mask: (B, 1, H, W) in [0, 1], 1 inside the field of view. Outside, the image is filled with the median of each
            channel + 0.2 first, which leaves no edge at the rim, and every level is -1 in the end.
        levels: number of bands.
        gain: factor of the bands, not of the low-pass image.
        clamp: cut the bands to [-1, 1].
        smooth_up: blur after resizing up.

    Returns:
        levels + 1 tensors; number l is (B, C, H / 2^l, W / 2^l).

    >>> import torch
    >>> image = torch.rand(1, 3, 32, 32) * 2 - 1
    >>> [band.shape[-1] for band in laplacian_pyramid(image)]
    [32, 16, 8, 4, 2]
    """
    bands = []
    low = image if mask is None else _fill(image, mask)
    for _ in range(levels):
        lower = blur(low)[..., ::2, ::2]
        band = gain * (low - up(lower, smooth_up))
        bands.append(band.clamp(-1, 1) if clamp else band)
        low = lower
    return _mask_levels([*bands, low], mask)


def gaussian_pyramid(image: Tensor, mask: Tensor | None = None, levels: int = 4) -> list[Tensor]:
    """The images g^0, ..., g^levels themselves, for PCE-Net without Laplacian features.

    Args and result as `laplacian_pyramid`.
    """
    low = [image if mask is None else _fill(image, mask)]
    for _ in range(levels):
        low.append(blur(low[-1])[..., ::2, ::2])
    return _mask_levels(low, mask)


def reconstruct(pyramid: list[Tensor], gain: float = 4.0, smooth_up: bool = True) -> Tensor:
    """Inverse of `laplacian_pyramid` without clamp and mask: g^l = p^l / gain + up(g^{l+1}).

    >>> import torch
    >>> image = torch.rand(1, 1, 32, 32)
    >>> back = reconstruct(laplacian_pyramid(image, clamp=False))
    >>> bool((back - image).abs().max() < 1e-5)
    True
    """
    *bands, image = pyramid
    for band in reversed(bands):
        image = band / gain + up(image, smooth_up)
    return image


def blur(image: Tensor) -> Tensor:
    """5 x 5 Gaussian of sigma 1 with repeated edges; (B, C, H, W) -> the same.

    By shifted sums, which autocast leaves alone: bands are small differences of large numbers.
    """
    height, width = image.shape[-2:]
    image = F.pad(image, (2, 2, 2, 2), mode="replicate")
    rows = [tap * image[..., n : n + height, :] for n, tap in enumerate(_TAPS)]
    image = rows[0] + rows[1] + rows[2] + rows[3] + rows[4]
    columns = [tap * image[..., n : n + width] for n, tap in enumerate(_TAPS)]
    return columns[0] + columns[1] + columns[2] + columns[3] + columns[4]


def up(image: Tensor, smooth: bool = True) -> Tensor:
    """Twice the size, bilinear, and blurred: mu of the paper; (B, C, H, W) -> (B, C, 2 H, 2 W)."""
    return blur(double(image)) if smooth else double(image)


def black_outside(image: Tensor, mask: Tensor) -> Tensor:
    """-1, which is black in [-1, 1], outside the field of view."""
    return (image + 1) * mask - 1


def _fill(image: Tensor, mask: Tensor) -> Tensor:
    """Replace pixels outside the field of view by 0.2 + the median of each channel of the whole image."""
    median = image.flatten(2).median(dim=2).values[..., None, None]
    return image * mask + (median + _LIGHTER) * (1 - mask)


def _mask_levels(levels: list[Tensor], mask: Tensor | None) -> list[Tensor]:
    if mask is None:
        return levels
    masked = []
    for level in levels:
        masked.append(black_outside(level, mask))
        mask = F.avg_pool2d(mask, 2)  # what bilinear halving does
    return masked
