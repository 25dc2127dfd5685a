"""X-BDCNN: blind denoising of X-ray images by noise level estimation and non-blind denoising.

Source: Yin, Qi, Cai, Li: X-Ray Image Enhancement Using Blind Denoising Neural Networks. The layers that the text leaves
open are those of CBDNet, whose U-Net with a final convolution has exactly the seventeen that it counts.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhance.networks.base import EnhancementNetwork, check_one_of, check_whole

FIRST_LEVEL = 0.05  # about the mean noise of training images, in units of [0, 1]


class XBDCNNOutput(NamedTuple):
    """Output of X-BDCNN: `image` (B, C, H, W) in about [0, 1], and `levels`, None without level estimation.

    With `maps="levels"`, levels are (B, 2, H, W): the Gaussian part sigma / 255 and the Poisson part 1 / sqrt(255 eta),
    its standard deviation in white. With `maps="pixel"` they are (B, C, H, W): the standard deviation of each pixel,
    sqrt(x / (255 eta) + (sigma / 255)²). With `maps="eta"` they are (B, 2, H, W): sigma / 255 and eta itself, which
    falls where the noise grows, as in the released code. All at least 0.
    """

    image: Tensor
    levels: Tensor | None


class XBDCNN(EnhancementNetwork):
    """l = NLE(f), g = f + NBD(f, l): noise level estimation, then non-blind denoising (section on the networks).

    Args:
        channels: of the images, 1 or 3.
        width: maps of the denoiser at full size; 2 and 4 times as many at a half and a quarter.
        level_width: maps of the level estimation.
        maps: what the levels are, see `XBDCNNOutput`. The paper has two maps and does not define the Poisson one.
        nle: False leaves the estimation out and gives the denoiser nothing but the image (the row "w/o NLE").
        share_layers: the second, third and fourth layer of the level estimation have one set of weights, as in the
            released code (10,146 parameters instead of 28,642); the paper has five layers.
        last_kernel: side of the denoiser's last convolution, 3 (paper) or 1 (released code).
        denoiser: "unet" (paper), or "dncnn" of as many channels, a peer of the paper (with nle=False).

    The released network predicts the noise and subtracts it: the same network up to the sign of its last layer.

    >>> image, levels = XBDCNN(width=4, level_width=4)(torch.rand(2, 1, 16, 16))
    >>> image.shape, levels.shape
    (torch.Size([2, 1, 16, 16]), torch.Size([2, 2, 16, 16]))
    """

    name = "xbdcnn"
    paper = "Yin et al.: X-Ray Image Enhancement Using Blind Denoising Neural Networks"
    value_range = (0.0, 1.0)
    multiple = 4
    smallest = 4
    training_size = 128
    image_channels = 1

    def __init__(
        self,
        channels: int = 1,
        width: int = 64,
        level_width: int = 32,
        maps: Literal["levels", "eta", "pixel"] = "levels",
        nle: bool = True,
        share_layers: bool = False,
        last_kernel: int = 3,
        denoiser: Literal["unet", "dncnn"] = "unet",
    ) -> None:
        super().__init__(channels)
        check_one_of("denoiser", denoiser, ("unet", "dncnn"))
        check_one_of("maps", maps, ("levels", "eta", "pixel"))
        check_one_of("last_kernel", last_kernel, (1, 3))
        count = channels if maps == "pixel" else 2
        check_whole("level_width", level_width)
        self.nle = NoiseLevelEstimation(channels, level_width, count, share_layers) if nle else None
        entering = count if nle else 0
        self.nbd: nn.Module = (
            DnCNN(channels, entering, check_whole("width", width))
            if denoiser == "dncnn"
            else NonBlindDenoiser(channels, entering, check_whole("width", width), last_kernel)
        )

    def forward(self, image: Tensor) -> XBDCNNOutput:
        """(B, C, H, W) in [0, 1] -> the denoised image and the levels; sides multiples of 4."""
        if self.nle is None:
            return XBDCNNOutput(image + self.nbd(image), None)
        levels = self.nle(image)
        return XBDCNNOutput(image + self.nbd(torch.cat([image, levels], 1)), levels)


class NoiseLevelEstimation(nn.Module):
    """Five 3 x 3 convolutions, ReLU after each, the first one's result added to the fourth's.

    The last one starts with small weights and a bias of 0.05, so that no map is dead at birth, as happens to CBDNet's.
    """

    def __init__(self, channels: int, width: int, maps: int, share_layers: bool = False) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _conv(channels if n == 0 else width, width) for n in range(2 if share_layers else 4)
        )
        self._order = (1, 1, 1) if share_layers else (1, 2, 3)
        self.last = _conv(width, maps)
        nn.init.normal_(self.last.weight, 0.0, 1e-3)
        nn.init.constant_(_bias(self.last), FIRST_LEVEL)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, H, W) in [0, 1] -> (B, maps, H, W), at least 0."""
        first = x = F.relu(self.layers[0](image))
        for number in self._order:
            x = F.relu(self.layers[number](x))
        return F.relu(self.last(x + first))


class NonBlindDenoiser(nn.Module):
    """U-Net of sixteen 3 x 3 convolutions, 2 + 3 + 6 + 3 + 2, and one more: the residual that removes the noise.

    Down by 2 x 2 means, up by 2 x 2 transposed convolutions, skips added, ReLU after all convolutions but the last.
    """

    def __init__(self, channels: int, maps: int, width: int, last_kernel: int = 3) -> None:
        super().__init__()
        a, b, c = width, 2 * width, 4 * width
        self.encode = nn.ModuleList([_convs(channels + maps, a, 2), _convs(a, b, 3), _convs(b, c, 6)])
        self.enlarge = nn.ModuleList([nn.ConvTranspose2d(c, b, 2, 2), nn.ConvTranspose2d(b, a, 2, 2)])
        self.decode = nn.ModuleList([_convs(b, b, 3), _convs(a, a, 2)])
        self.last = nn.Conv2d(a, channels, last_kernel, padding=last_kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C + maps, H, W) -> (B, C, H, W); sides multiples of 4."""
        whole = self.encode[0](x)
        half = self.encode[1](F.avg_pool2d(whole, 2))
        x = self.encode[2](F.avg_pool2d(half, 2))
        x = self.decode[0](self.enlarge[0](x) + half)
        residual: Tensor = self.last(self.decode[1](self.enlarge[1](x) + whole))
        return residual


class DnCNN(nn.Module):
    """Seventeen 3 x 3 convolutions with batch norm and ReLU between the first and the last: the residual.

    Source: Zhang et al., "Beyond a Gaussian Denoiser: Residual Learning of Deep CNN for Image Denoising", IEEE TIP
    26(7), 2017.

    >>> DnCNN(1, 0, 8, depth=4)(torch.rand(1, 1, 16, 16)).shape
    torch.Size([1, 1, 16, 16])
    """

    def __init__(self, channels: int, maps: int, width: int, depth: int = 17) -> None:
        super().__init__()
        parts: list[nn.Module] = [_conv(channels + maps, width), nn.ReLU()]
        for _ in range(depth - 2):
            parts += [nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
        self.layers = nn.Sequential(*parts, _conv(width, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C + maps, H, W) -> (B, C, H, W)."""
        residual: Tensor = self.layers(x)
        return residual


def _conv(channels: int, width: int) -> nn.Conv2d:
    return nn.Conv2d(channels, width, 3, padding=1)


def _bias(conv: nn.Conv2d) -> Tensor:
    assert conv.bias is not None
    return conv.bias


def _convs(channels: int, width: int, count: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for n in range(count):
        parts += [_conv(channels if n == 0 else width, width), nn.ReLU()]
    return nn.Sequential(*parts)
