"""Building blocks that several networks share: padding, instance norm, initial weights, resizing."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def pad_to_multiple(image: Tensor, multiple: int, smallest: int = 1) -> Tensor:
    """Pad the right and the bottom so that both sides are multiples of `multiple` and at least `smallest`.

    By reflection; by repetition of the edge along an axis that is too short to be reflected. `[..., :H, :W]` crops
    back.

    Args:
        image: (B, C, H, W).

    >>> pad_to_multiple(torch.rand(1, 1, 61, 97), 16).shape
    torch.Size([1, 1, 64, 112])
    >>> pad_to_multiple(torch.tensor([[[[1.0, 2.0, 3.0]]]]), 4)[0, 0, 0]
    tensor([1., 2., 3., 2.])
    """
    for axis in (3, 2):
        side = image.shape[axis]
        image = _extend(image, axis, -(-max(side, smallest) // multiple) * multiple - side)
    return image


def _extend(image: Tensor, axis: int, by: int) -> Tensor:
    """By slices, not `F.pad`, whose reflection the compiler of torch 2.13 cannot fuse with a pyramid."""
    side = image.shape[axis]
    if by == 0:
        return image
    if by < side:
        return torch.cat([image, image.narrow(axis, side - 1 - by, by).flip(axis)], axis)
    return torch.cat([image, image.narrow(axis, side - 1, 1).repeat_interleave(by, axis)], axis)


def instance_norm(channels: int) -> nn.InstanceNorm2d:
    """Instance norm without parameters and running statistics: the same in training and use."""
    return nn.InstanceNorm2d(channels, affine=False, track_running_stats=False)


def resize(image: Tensor, height: int, width: int) -> Tensor:
    """Bilinear, (B, C, H, W) -> (B, C, height, width)."""
    return F.interpolate(image, size=(height, width), mode="bilinear", align_corners=False)


def double(image: Tensor) -> Tensor:
    """Bilinear, (B, C, H, W) -> (B, C, 2 H, 2 W)."""
    return F.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)


def init_normal(module: nn.Module, std: float = 0.02) -> None:
    """Initialize the weights of all convolutions from N(0, std²), biases with 0."""
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.normal_(part.weight, 0.0, std)
            if part.bias is not None:
                nn.init.zeros_(part.bias)


def patch_layer(channels: int, width: int, kernel: int, stride: int, norm: bool) -> nn.Sequential:
    """Layer of a patch discriminator: convolution, optional instance norm, LeakyReLU(0.2)."""
    parts: list[nn.Module] = [nn.Conv2d(channels, width, kernel, stride, padding=1)]
    if norm:
        parts.append(instance_norm(width))
    return nn.Sequential(*parts, nn.LeakyReLU(0.2))
