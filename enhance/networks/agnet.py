"""AG-Net: segmentation network for the retina structure preservation (RSP) of MAGE-Net.

Source: Zhang et al.: Attention Guided Network for Retinal Image Segmentation. MICCAI 2019, and the released code.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhance.networks.base import check_whole
from enhance.networks.blocks import resize

_RADIUS = 2  # of the guided filter's window, in pixels of the smaller image
_RIDGE = 1e-2


class Structure(NamedTuple):
    """Output of a structure network, coarsest of four scales first.

    `segmentation`: logits (B, classes, H, W) each. `features`: decoder maps (B, N, H / s, W / s), s = 8, 4, 2, 1.
    """

    segmentation: tuple[Tensor, ...]
    features: tuple[Tensor, ...]


class AGNet(nn.Module):
    """U-Net with inputs and outputs at four scales.

    By default, what comes from below and from the side meets as the sum of two 1 x 1 convolutions, the lower one
    resized. `guided_filter=True` is the published attention-guided filter; its attention counts within each image, not
    over the batch as in the release, and it is computed in float32.

    Args:
        channels: of the images, 1 or 3.
        width: maps of the first level; 2, 4, 8 and 16 times as many below. Group norm has this many groups.
        classes: of the segmentation, background included.
        guided_filter: as published, instead of the plain sum.

    Attributes:
        feature_widths: channels of the four feature maps, coarsest first.

    >>> segmentation, features = AGNet(width=4)(torch.rand(1, 3, 32, 32))
    >>> [tuple(f.shape[1:]) for f in features], {tuple(s.shape) for s in segmentation}
    ([(32, 4, 4), (16, 8, 8), (8, 16, 16), (4, 32, 32)], {(1, 2, 32, 32)})
    """

    def __init__(self, channels: int = 3, width: int = 32, classes: int = 2, guided_filter: bool = False) -> None:
        super().__init__()
        w = check_whole("width", width)
        check_whole("classes", classes)
        self.feature_widths = (8 * w, 4 * w, 2 * w, w)
        # the first guide is the first level twice, as released
        self.sides = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, n, 3, padding=1), nn.ReLU()) for n in (2 * w, 4 * w, 8 * w)
        )
        entries, levels = (channels, 3 * w, 6 * w, 12 * w), (w, 2 * w, 4 * w, 8 * w)
        self.encoder = nn.ModuleList(_convs(a, b, 2, w) for a, b in zip(entries, levels, strict=True))
        self.centre = nn.Sequential(
            nn.Conv2d(8 * w, 16 * w, 3, padding=1, bias=False),
            nn.ReLU(),
            nn.Conv2d(16 * w, 16 * w, 3, padding=1, bias=False),
            nn.ReLU(),
        )
        fusion = GuidedFusion if guided_filter else PlainFusion
        self.fusions = nn.ModuleList(fusion(2 * n) for n in self.feature_widths)
        self.decoder = nn.ModuleList(_convs(2 * n, n, 3, w) for n in self.feature_widths)
        self.heads = nn.ModuleList(nn.Conv2d(n, classes, 1) for n in self.feature_widths)

    def forward(self, image: Tensor) -> Structure:
        """(B, C, H, W) in [0, 1], sides multiples of 16 -> segmentation and features."""
        height, width = image.shape[-2:]
        guides = []
        x = self.encoder[0](image)
        guides.append(torch.cat([x, x], 1))
        for level, side in enumerate(self.sides, 1):
            seen = side(resize(image, height >> level, width >> level))
            x = self.encoder[level](torch.cat([seen, F.max_pool2d(x, 2)], 1))
            guides.append(torch.cat([seen, x], 1))
        x = self.centre(F.max_pool2d(x, 2))
        features, segmentation = [], []
        for fuse, decode, head, guide in zip(self.fusions, self.decoder, self.heads, reversed(guides), strict=True):
            x = decode(fuse(x, guide))
            features.append(x)
            # a 1 x 1 convolution and resizing commute, and this order has less to do
            segmentation.append(resize(head(x), height, width))
        return Structure(tuple(segmentation), tuple(features))


class PlainFusion(nn.Module):
    """conv1x1(guide) + up(conv1x1(low)): (B, N, H / 2, W / 2) and (B, N, H, W) -> (B, N, H, W)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.low = nn.Conv2d(width, width, 1, bias=False)
        self.guide = nn.Conv2d(width, width, 1)

    def forward(self, low: Tensor, guide: Tensor) -> Tensor:
        projected: Tensor = self.guide(guide)
        return projected + resize(self.low(low), *guide.shape[-2:])


class GuidedFusion(nn.Module):
    """The attention-guided filter: `low` enlarged along the edges of the guide, (as `PlainFusion`).

    Attention = sigmoid(psi(ReLU(theta(small guide) + phi(low)))), all 1 x 1 convolutions; see `guided_upsample`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.theta = nn.Conv2d(width, width, 1)
        self.phi = nn.Conv2d(width, width, 1)
        self.psi = nn.Conv2d(width, 1, 1)

    def forward(self, low: Tensor, guide: Tensor) -> Tensor:
        small = resize(guide, *low.shape[-2:])
        attention = self.psi(F.relu(self.theta(small) + self.phi(low))).sigmoid()
        return guided_upsample(low, small, guide, attention)


def guided_upsample(low: Tensor, small: Tensor, guide: Tensor, attention: Tensor) -> Tensor:
    """Fast guided filter with weights: in each window, the line a x + b that takes the small guide x to `low`.

    (a, b) minimise sum_i T_i (a x_i + b - y_i)² / sum_i T_i + 0.01 a² over windows of 5 x 5; they are averaged over
    windows, enlarged, and applied to the full guide. Solved with weighted means, so that nothing depends on the sum of
    the attention over image or batch. In float32 at least, since it subtracts nearly equal numbers; autocast
    lowers none of these operations.

    Args:
        low: y, (B, N, h, w).
        small: x, (B, N, h, w).
        guide: (B, N, H, W).
        attention: T, (B, 1, h, w), positive.

    Returns:
        (B, N, H, W), of the type of `low`.
    """
    dtype = torch.promote_types(low.dtype, torch.float32)
    y, x, full = low.to(dtype), small.to(dtype), guide.to(dtype)
    weight = attention.to(dtype).clamp_min(1e-4)
    total = _box(weight)
    mean_x, mean_y, mean_xy, mean_xx = (_box(weight * v) / total for v in (x, y, x * y, x * x))
    slope = (mean_xy - mean_x * mean_y) / ((mean_xx - mean_x * mean_x).clamp_min(0) + _RIDGE)
    offset = mean_y - slope * mean_x
    size = full.shape[-2:]
    return (resize(_box(slope), *size) * full + resize(_box(offset), *size)).to(low.dtype)


def _box(x: Tensor) -> Tensor:
    """Mean over windows, which are cropped at the border."""
    return F.avg_pool2d(x, 2 * _RADIUS + 1, 1, _RADIUS, count_include_pad=False)


def _convs(channels: int, width: int, count: int, groups: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for n in range(count):
        conv = nn.Conv2d(channels if n == 0 else width, width, 3, padding=1, bias=False)
        parts += [conv, nn.GroupNorm(groups, width, eps=1e-4), nn.ReLU()]
    return nn.Sequential(*parts)
