"""PCE-Net: U-Net whose encoder levels get the levels of the image's Laplacian pyramid.

Source: Liu, Li, Fu, Xiao, Gao, Hu, Liu: Degradation-invariant Enhancement of Fundus Images via Pyramid Constraint
Network. MICCAI 2022, and the released code (HeverLaw/PCENet-Image-Enhancement).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhance.networks.base import EnhancementNetwork, check_whole
from enhance.networks.blocks import init_normal, instance_norm
from enhance.networks.pyramid import black_outside, gaussian_pyramid, laplacian_pyramid

LEVELS = 4
_SLOPE = 0.2


class PCEOutput(NamedTuple):
    """Output of PCE-Net: `image` (B, C, H, W) in [-1, 1]; `features`, the encoder's five, not activated, for FPC.

    Level l of the features is (B, N, H / 2^l, W / 2^l) with N = 1, 2, 4, 8, 8 times the width.
    """

    image: Tensor
    features: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class PCENet(EnhancementNetwork):
    """f^0 = conv(p^0), f^{l+1} = conv(p^{l+1}, f^l) (Eq. 2), and a decoder with skip connections.

    The defaults are the release's network; `gain=1, clamp=False, smooth_up=False` are the paper's pyramid. `lpf=False`
    feeds the images of the Gaussian pyramid instead of the bands, with `one_input=True` the image alone: a plain U-Net
    (the row "w/o LPF, FPC" of Table 2).

    Args:
        channels: of the images, 1 or 3.
        width: maps of the first level; the others have 2, 4, 8 and 8 times as many.
        lpf: Laplacian pyramid features.
        gain, clamp, smooth_up: of the pyramid, see `laplacian_pyramid`.
        one_input: without `lpf`, feed the image to the first level and nothing to the others.

    >>> net = PCENet(width=4)
    >>> image, features = net(torch.rand(1, 3, 32, 32) * 2 - 1, torch.ones(1, 1, 32, 32))
    >>> image.shape, [tuple(f.shape[1:]) for f in features]
    (torch.Size([1, 3, 32, 32]), [(4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4), (32, 2, 2)])
    """

    name = "pcenet"
    paper = "Liu et al.: Degradation-invariant Enhancement of Fundus Images via Pyramid Constraint Network. MICCAI 2022"
    value_range = (-1.0, 1.0)
    multiple = 2**LEVELS
    smallest = 2 * 2**LEVELS  # instance norm needs more than one pixel
    training_size = 256
    image_channels = 3
    takes_mask = True

    def __init__(
        self,
        channels: int = 3,
        width: int = 64,
        lpf: bool = True,
        gain: float = 4.0,
        clamp: bool = True,
        smooth_up: bool = True,
        one_input: bool = False,
    ) -> None:
        super().__init__(channels)
        if one_input and lpf:
            raise ValueError("one_input = True: allowed with lpf = False alone")
        w = check_whole("width", width)
        if not gain > 0:
            raise ValueError(f"gain = {gain!r}: allowed is a number above 0")
        self.lpf, self.gain, self.clamp, self.smooth_up = lpf, gain, clamp, smooth_up
        self.one_input = one_input
        side, below = (0, 0) if one_input else (w, channels)  # what the pyramid adds to a level
        self.entries = nn.ModuleList(_conv_norm(channels, w) for _ in range(1 if one_input else LEVELS))
        self.down = nn.ModuleList([_Down(w, 2 * w), _Down(2 * w + side, 4 * w), _Down(4 * w + side, 8 * w)])
        self.deepest = nn.Sequential(
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(8 * w + side, 8 * w, 4, 2, 1),
            instance_norm(8 * w),
            nn.Conv2d(8 * w, 8 * w, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            instance_norm(8 * w),
        )
        self.inner = _conv_norm(8 * w + below, 8 * w)
        self.up = nn.ModuleList(
            [
                nn.Sequential(nn.ReLU(), nn.ConvTranspose2d(8 * w, 8 * w, 4, 2, 1), instance_norm(8 * w)),
                _Up(16 * w, 4 * w),
                _Up(8 * w, 2 * w),
                _Up(4 * w, w),
            ]
        )
        self.exit = nn.Sequential(_conv_norm(2 * w, w), nn.ReLU(), nn.Conv2d(w, channels, 1), nn.Tanh())
        init_normal(self)

    def pyramid(self, image: Tensor, mask: Tensor | None = None) -> list[Tensor]:
        """The five input images of the encoder, finest first, or one: see `laplacian_pyramid`."""
        if self.one_input:
            return gaussian_pyramid(image, mask, 0)
        if self.lpf:
            return laplacian_pyramid(image, mask, LEVELS, self.gain, self.clamp, self.smooth_up)
        return gaussian_pyramid(image, mask, LEVELS)

    def forward(self, image: Tensor, mask: Tensor | None = None) -> PCEOutput:
        """Forward pass for training.

        Args:
            image: (B, C, H, W) in [-1, 1]; sides multiples of 16, at least 32.
            mask: (B, 1, H, W) in [0, 1], 1 inside the field of view; if not given, everywhere. Outside, the result is
                -1.
        """
        f0, sides, low = self._entered(image, mask)
        f1 = self.down[0](f0)
        f2 = self.down[1](torch.cat([f1, *sides[:1]], 1))
        f3 = self.down[2](torch.cat([f2, *sides[1:2]], 1))
        f4 = self.inner(torch.cat([F.leaky_relu(self.deepest(torch.cat([f3, *sides[2:]], 1)), _SLOPE), *low], 1))
        x = self.up[0](f4)
        for level, skip in zip(self.up[1:], (f3, f2, f1), strict=True):
            x = level(torch.cat([x, skip], 1))
        # the release's first LeakyReLU works in place, so its last skip is what comes after it
        result = self.exit(torch.cat([x, F.leaky_relu(f0, _SLOPE)], 1))
        return PCEOutput(result if mask is None else black_outside(result, mask), (f0, f1, f2, f3, f4))

    def _entered(self, image: Tensor, mask: Tensor | None) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The first level's features, those of the other bands, and the low-pass image; empty lists for one input."""
        if self.one_input:
            (whole,) = self.pyramid(image, mask)
            return self.entries[0](whole), [], []
        *bands, low = self.pyramid(image, mask)
        first, *others = (entry(band) for entry, band in zip(self.entries, bands, strict=True))
        return first, others, [low]


def _conv_norm(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), instance_norm(width))


class _Down(nn.Sequential):
    """Half the size; d1, d2, d3 of the release."""

    def __init__(self, channels: int, width: int) -> None:
        halve = nn.Conv2d(channels, width, 4, 2, 1)
        super().__init__(
            nn.LeakyReLU(_SLOPE), halve, instance_norm(width), nn.LeakyReLU(_SLOPE), *_conv_norm(width, width)
        )


class _Up(nn.Sequential):
    """Twice the size; u3, u2, u1 of the release."""

    def __init__(self, channels: int, width: int) -> None:
        twice = nn.ConvTranspose2d(channels, width, 4, 2, 1)
        super().__init__(nn.ReLU(), twice, instance_norm(width), nn.ReLU(), *_conv_norm(width, width))
