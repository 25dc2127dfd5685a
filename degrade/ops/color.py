"""Brightness, contrast and saturation, as Pillow's ImageEnhance defines them.

Each is a blend `degenerate + factor * (image - degenerate)` with black, with the mean luma of the frame, and with
the luma of the pixel (ITU-R 601-2, as in Pillow), clipped to [0, 1]. Factor 1 changes nothing, 0 gives the
degenerate image, more than 1 exaggerates.

With `eight_bit=True` they do what Pillow does to 8-bit images, in its single precision: the pixels are whole
levels, luma and its mean are rounded, and each result is *truncated* to a whole level (1.2 levels darker on average
after three steps than plain arithmetic). The values are Pillow's exactly; the gradient is the plain one, straight
through the rounding.

>>> import torch
>>> image = torch.rand(2, 3, 32, 32)
>>> brightness(image, torch.tensor([0.5, 1.0])).amax(dim=(1, 2, 3)) <= torch.tensor([0.5, 1.0])
tensor([True, True])
"""

from __future__ import annotations

import torch
from torch import Tensor

from degrade.ops.constants import LUMA

_LUMA_16BIT = (19595, 38470, 7471)  # the same as Pillow holds them, in units of 2**-16


def luma(image: Tensor) -> Tensor:
    """(B, 3, H, W) -> (B, 1, H, W), the 601-2 luma; a grey image (B, 1, H, W) is its own."""
    if image.shape[1] == 1:
        return image
    return LUMA[0] * image[:, 0:1] + LUMA[1] * image[:, 1:2] + LUMA[2] * image[:, 2:3]


def brightness(image: Tensor, factor: Tensor, eight_bit: bool = False) -> Tensor:
    """clip(b x), for factors b (B,)."""
    return _blend(torch.zeros_like(image), image, factor, eight_bit)


def contrast(image: Tensor, factor: Tensor, eight_bit: bool = False) -> Tensor:
    """clip(m + c (x - m)), for factors c (B,), m the mean luma over the whole frame, a black surround included."""
    mean = luma(image).mean(dim=(1, 2, 3), keepdim=True)
    if eight_bit:
        mean8 = (_luma8(image).to(torch.float64).mean(dim=(1, 2, 3), keepdim=True) + 0.5).floor() / 255
        mean = straight_through(mean, mean8.to(mean.dtype))
    return _blend(mean, image, factor, eight_bit)


def saturation(image: Tensor, factor: Tensor, eight_bit: bool = False) -> Tensor:
    """clip(l + s (x - l)), for factors s (B,), l the luma of each pixel."""
    grey = luma(image)
    if eight_bit:
        grey = straight_through(grey, _luma8(image).to(grey.dtype) / 255)
    return _blend(grey, image, factor, eight_bit)


def quantise(image: Tensor) -> Tensor:
    """Rounds [0, 1] to whole levels of 255, the gradient straight through."""
    return straight_through(image, _levels(image).to(image.dtype) / 255)


def truncate(image: Tensor) -> Tensor:
    """Truncates [0, 1] to whole levels of 255, as the Cofe-Net release saves its images; gradient straight through."""
    return straight_through(image, (image * 255).floor() / 255)


def straight_through(smooth: Tensor, value: Tensor) -> Tensor:
    """Forward `value`, backward `smooth`."""
    if not smooth.requires_grad:
        return value
    return smooth + (value - smooth).detach()


def _blend(degenerate: Tensor, image: Tensor, factor: Tensor, eight_bit: bool) -> Tensor:
    factor = factor.view(-1, 1, 1, 1)
    smooth = (degenerate + factor * (image - degenerate)).clamp(0, 1)
    if not eight_bit:
        return smooth
    low, high = (_levels(end).to(torch.float32) for end in (degenerate, image))
    levels = (low + factor.to(torch.float32) * (high - low)).clamp(0, 255).floor()
    return straight_through(smooth, levels.to(image.dtype) / 255)


def _levels(image: Tensor) -> Tensor:
    return (image.detach() * 255).round().to(torch.int32)


def _luma8(image: Tensor) -> Tensor:
    levels = _levels(image)
    if image.shape[1] == 1:
        return levels
    weighted = sum(weight * levels[:, i : i + 1] for i, weight in enumerate(_LUMA_16BIT))
    assert isinstance(weighted, Tensor)
    return (weighted + 0x8000) >> 16
