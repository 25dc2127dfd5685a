"""SSP-Net: one generator for both branches of a Siamese GAN, a ResNet-50 with a decoder, and a patch discriminator.

Source: Xu, Wang, Pedersen, Zhao, Zhu: SSP-Net: A Siamese-Based Structure-Preserving Generative Adversarial Network for
Unpaired Medical Image Enhancement. IEEE/ACM TCBB, 2023. No code is published; widths of the decoder are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhance.networks.base import (
    CHANNELS,
    EnhancementNetwork,
    check_one_of,
    check_whole,
    check_wholes,
)
from enhance.networks.blocks import double, init_normal, instance_norm, patch_layer

_EXPANSION = 4
Norm = Literal["batch", "instance"]


class SSPGenerator(EnhancementNetwork):
    """ResNet-50 whose max-pooling is a strided convolution, then five 3 x 3 convolutions with skips (section III).

    Before each of the five: bilinear doubling and the encoder's map of that size, the image itself at the end. A 1 x 1
    convolution and tanh make the image. Weights start as He's.

    Args:
        channels: of the images, 1 or 3.
        width: maps of the first layer; the four stages give 4, 8, 16 and 32 times as many.
        depths: bottleneck blocks in the four stages; (3, 4, 6, 3) is ResNet-50.
        decoder: maps of the five convolutions.
        norm: of the encoder. "batch" is ResNet's: call `eval` before `enhance`. "instance" suits the small batches
            of a GAN. The decoder has instance norm.

    >>> net = SSPGenerator(width=4, depths=(1, 1, 1, 1), decoder=(8, 8, 8, 4, 4), norm="instance")
    >>> net(torch.rand(1, 1, 64, 64) * 2 - 1).shape
    torch.Size([1, 1, 64, 64])
    """

    name = "sspnet"
    paper = (
        "Xu et al.: SSP-Net: A Siamese-Based Structure-Preserving Generative Adversarial Network for Unpaired Medical "
        "Image Enhancement. IEEE/ACM TCBB, 2023"
    )
    value_range = (-1.0, 1.0)
    multiple = 32
    smallest = 64  # norms need more than one pixel
    training_size = 384
    image_channels = 1

    def __init__(
        self,
        channels: int = 1,
        width: int = 64,
        depths: Sequence[int] = (3, 4, 6, 3),
        decoder: Sequence[int] = (512, 256, 128, 64, 32),
        norm: Norm = "batch",
    ) -> None:
        super().__init__(channels)
        check_one_of("norm", norm, ("batch", "instance"))
        self.encoder = ResNetEncoder(channels, check_whole("width", width), check_wholes("depths", depths, 4), norm)
        below = self.encoder.widths[-1]
        layers = []
        skips = (*reversed(self.encoder.widths[:-1]), channels)
        for skip, out in zip(skips, check_wholes("decoder", decoder, 5), strict=True):
            layers.append(nn.Sequential(nn.Conv2d(below + skip, out, 3, padding=1), instance_norm(out), nn.ReLU()))
            below = out
        self.decoder = nn.ModuleList(layers)
        self.image = nn.Conv2d(below, channels, 1)
        for part in self.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
                if part.bias is not None:
                    nn.init.zeros_(part.bias)
        nn.init.normal_(self.image.weight, 0.0, 0.02)  # He's weights would leave tanh without a gradient from the start

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> the same; sides multiples of 32, at least 64."""
        *skips, x = self.encoder(image)
        for layer, skip in zip(self.decoder, (*reversed(skips), image), strict=True):
            x = layer(torch.cat([double(x), skip], 1))
        return torch.tanh(self.image(x))


class ResNetEncoder(nn.Module):
    """ResNet with bottleneck blocks, without the classifier; max-pooling replaced by a 3 x 3 convolution of stride 2.

    Attributes:
        widths: channels of the five maps it gives.
    """

    def __init__(self, channels: int, width: int, depths: tuple[int, ...], norm: Norm) -> None:
        super().__init__()
        self.widths = (width, *(_EXPANSION * width * 2**n for n in range(4)))
        self.stem = nn.Sequential(*_conv_norm(channels, width, 7, 2, norm), nn.ReLU())
        self.pool = nn.Sequential(*_conv_norm(width, width, 3, 2, norm), nn.ReLU())
        stages, entering = [], width
        for n, depth in enumerate(depths):
            inner = width * 2**n
            first = Bottleneck(entering, inner, 1 if n == 0 else 2, norm)
            entering = _EXPANSION * inner
            stages.append(nn.Sequential(first, *(Bottleneck(entering, inner, 1, norm) for _ in range(depth - 1))))
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, C, H, W) -> five maps, at 1/2, 1/4, 1/8, 1/16 and 1/32."""
        maps = [self.stem(image)]
        x = self.pool(maps[0])
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps


class Bottleneck(nn.Module):
    """ReLU(shortcut(x) + conv1x1(conv3x3(conv1x1(x)))), norms after all; (B, N, H, W) -> (B, 4 inner, H / s, W / s)."""

    def __init__(self, channels: int, inner: int, stride: int, norm: Norm) -> None:
        super().__init__()
        out = _EXPANSION * inner
        self.layers = nn.Sequential(
            *_conv_norm(channels, inner, 1, 1, norm),
            nn.ReLU(),
            *_conv_norm(inner, inner, 3, stride, norm),
            nn.ReLU(),
            *_conv_norm(inner, out, 1, 1, norm),
        )
        same = stride == 1 and channels == out
        self.shortcut = nn.Identity() if same else nn.Sequential(*_conv_norm(channels, out, 1, stride, norm))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.shortcut(x) + self.layers(x))


class PatchDiscriminator(nn.Module):
    """PatchGAN with 4 x 4 convolutions and weights from N(0, 0.02²); logits, no sigmoid.

    The paper's "three convolution layers" can mean two networks. `layers=3`, the default, is the one that pix2pix and
    StillGAN call so: five convolutions, judging patches of 70 x 70. `layers=1` is the literal one: three convolutions,
    patches of 16 x 16.

    Args:
        channels: of the images, 1 or 3.
        width: maps of the first layer, doubled by each that follows up to eight times.
        layers: convolutions with stride 2.

    >>> PatchDiscriminator(width=4)(torch.rand(1, 1, 64, 64)).shape
    torch.Size([1, 1, 6, 6])
    """

    def __init__(self, channels: int = 1, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        check_one_of("channels", channels, CHANNELS)
        check_whole("width", width)
        check_whole("layers", layers)
        parts: list[nn.Module] = []
        entering = channels
        for n in range(layers + 1):
            out = width * 2 ** min(n, 3)
            parts.append(patch_layer(entering, out, 4, 2 if n < layers else 1, norm=n > 0))
            entering = out
        self.layers = nn.Sequential(*parts, nn.Conv2d(entering, 1, 4, padding=1))
        init_normal(self)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [-1, 1] -> logits (B, 1, h, w), above 0 for real."""
        logits: Tensor = self.layers(image)
        return logits


def _conv_norm(channels: int, width: int, kernel: int, stride: int, norm: Norm) -> list[nn.Module]:
    conv = nn.Conv2d(channels, width, kernel, stride, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(width) if norm == "batch" else instance_norm(width)]
