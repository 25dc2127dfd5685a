"""Zhao et al. 2019: two generators and two discriminators, unpaired, with the discriminators as feature descriptors.

Source: Zhao, Yang, Cao, Li: Data-driven Enhancement of Blurry Retinal Images via Generative
Adversarial Networks. MICCAI 2019. No code is published; what the text leaves open is as in CycleGAN.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn

from enhance.networks.base import CHANNELS, EnhancementNetwork, check_one_of, check_whole
from enhance.networks.blocks import init_normal, instance_norm, patch_layer


class ZhaoGenerator(EnhancementNetwork):
    """Three convolutions, residual blocks, three transposed convolutions; both generators are this.

    Args:
        channels: of the images, 1 or 3.
        width: maps at full size; 2 and 4 times as many at a half and a quarter.
        blocks: residual blocks.

    >>> import torch
    >>> ZhaoGenerator(width=4, blocks=1)(torch.rand(1, 3, 16, 16) * 2 - 1).shape
    torch.Size([1, 3, 16, 16])
    """

    name = "zhao"
    paper = (
        "Zhao et al.: Data-driven Enhancement of Blurry Retinal Images via Generative Adversarial Networks. MICCAI 2019"
    )
    value_range = (-1.0, 1.0)
    multiple = 4
    smallest = 8  # a quarter of it must allow reflection by one
    training_size = 256
    image_channels = 3

    def __init__(self, channels: int = 3, width: int = 64, blocks: int = 9) -> None:
        super().__init__(channels)
        w = check_whole("width", width)
        self.layers = nn.Sequential(
            *_wide(channels, w),
            *_normed(nn.Conv2d(w, 2 * w, 3, 2, 1)),
            *_normed(nn.Conv2d(2 * w, 4 * w, 3, 2, 1)),
            *(_Residual(4 * w) for _ in range(check_whole("blocks", blocks, 0))),
            *_normed(nn.ConvTranspose2d(4 * w, 2 * w, 3, 2, 1, output_padding=1)),
            *_normed(nn.ConvTranspose2d(2 * w, w, 3, 2, 1, output_padding=1)),
            nn.ReflectionPad2d(3),
            nn.Conv2d(w, channels, 7),
            nn.Tanh(),
        )
        init_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> the same; sides multiples of 4, at least 8."""
        result: Tensor = self.layers(image)
        return result


class Judgement(NamedTuple):
    """Output of Zhao's discriminator: `score` (B, 1, H / 16, W / 16), 1 for real; `features`, F^1 to F^5.

    The features are the four activated layers and the score itself.
    """

    score: Tensor
    features: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class ZhaoDiscriminator(nn.Module):
    """Five 3 x 3 convolutions, four of them with stride 2: score and dynamic feature descriptor.

    There is no sigmoid, which least squares do not need. Instance norm in the three middle layers is PatchGAN's habit.

    Args:
        channels: of the images, 1 or 3.
        width: maps of the first layer; the next have 2, 4 and 8 times as many.

    >>> import torch
    >>> score, features = ZhaoDiscriminator(width=4)(torch.rand(1, 3, 32, 32) * 2 - 1)
    >>> score.shape, len(features)
    (torch.Size([1, 1, 2, 2]), 5)
    """

    def __init__(self, channels: int = 3, width: int = 64) -> None:
        super().__init__()
        check_one_of("channels", channels, CHANNELS)
        w = check_whole("width", width)
        widths = [channels, w, 2 * w, 4 * w, 8 * w]
        self.layers = nn.ModuleList(patch_layer(widths[n], widths[n + 1], 3, 2, norm=n > 0) for n in range(4))
        self.score = nn.Conv2d(8 * w, 1, 3, padding=1)
        init_normal(self)

    def forward(self, image: Tensor) -> Judgement:
        """(B, C, H, W) in [-1, 1], sides at least 32 -> score and features."""
        first = self.layers[0](image)
        second = self.layers[1](first)
        third = self.layers[2](second)
        fourth = self.layers[3](third)
        score = self.score(fourth)
        return Judgement(score, (first, second, third, fourth, score))


def _normed(conv: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
    return [conv, instance_norm(conv.out_channels), nn.ReLU()]


def _wide(channels: int, width: int) -> list[nn.Module]:
    return [nn.ReflectionPad2d(3), *_normed(nn.Conv2d(channels, width, 7))]


class _Residual(nn.Module):
    """x + two convolutions of x, nothing after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.ReflectionPad2d(1),
            *_normed(nn.Conv2d(width, width, 3)),
            nn.ReflectionPad2d(1),
            nn.Conv2d(width, width, 3),
            instance_norm(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        changed: Tensor = self.layers(x)
        return x + changed
