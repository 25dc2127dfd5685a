"""MAGE-Net: enhancement in two stages, with the features of a segmentation network to preserve the retina's structure.

Source: Guo, Fu, Zhou, Xu: Bridging Synthetic and Real Images: a Transferable and Multiple Consistency aided Fundus
Image Enhancement Framework. IEEE TMI 42(8), 2023. No code is published and the text has lost its numbers; widths are
those of MPRNet's deraining setting, which fit the number of parameters that the text hints at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from enhance.networks.agnet import AGNet, Structure
from enhance.networks.base import EnhancementNetwork, check_one_of, check_whole
from enhance.networks.blocks import double, resize

_REDUCTION = 4


class MAGEOutput(NamedTuple):
    """Output of MAGE-Net: `stages`, one or two images (B, C, H, W) in about [0, 1], the last the better one.

    `segmentation`: four scales of logits (B, classes, H, W), coarsest first; empty without RSP.
    """

    stages: tuple[Tensor, ...]
    segmentation: tuple[Tensor, ...]

    @property
    def image(self) -> Tensor:
        """Image of the last stage."""
        return self.stages[-1]


class MAGENet(EnhancementNetwork):
    """A U-Net of channel attention blocks on two halves of the image, then three fundus attention blocks at full size.

    Both stages predict a residual that is added to the input.

    Args:
        channels: of the images, 1 or 3.
        width: maps of the U-Net's first level.
        step: more maps per level.
        stage2_step: more maps in the second stage than in the first level.
        num_cab: channel attention blocks in each fundus attention block; the paper's number is unknown.
        rsp: the network for structure: "agnet" (plain fusion), "agnet-guided" (the published guided filter), None for
            none, or a module with `feature_widths` that returns a `Structure`.
        rsp_width, classes: of the AG-Net, see there.
        split: the first encoder sees the upper and the lower half of the image separately.
        stage2: False leaves the first stage alone (the row "S1" of Table 6), and the RSP without use but for its loss.
        cab: False takes the channel attention out of the blocks, which leaves residual blocks ("w/o CAB").
        checkpointing: in training, compute the second stage's blocks again in the backward pass instead of keeping
            what they need; saves most of the memory for a third more work.

    >>> net = MAGENet(width=8, step=4, stage2_step=4, num_cab=1, rsp_width=4)
    >>> output = net(torch.rand(1, 3, 32, 32))
    >>> [tuple(image.shape) for image in output.stages], len(output.segmentation)
    ([(1, 3, 32, 32), (1, 3, 32, 32)], 4)
    """

    name = "magenet"
    paper = (
        "Guo et al.: Bridging Synthetic and Real Images: a Transferable and Multiple Consistency aided Fundus Image "
        "Enhancement Framework. IEEE TMI 42(8), 2023"
    )
    value_range = (0.0, 1.0)
    multiple = 16  # 8 without RSP
    smallest = 16
    training_size = 256
    image_channels = 3

    def __init__(
        self,
        channels: int = 3,
        width: int = 40,
        step: int = 20,
        stage2_step: int = 16,
        num_cab: int = 8,
        rsp: nn.Module | Literal["agnet", "agnet-guided"] | None = "agnet",
        rsp_width: int = 32,
        classes: int = 2,
        split: bool = True,
        stage2: bool = True,
        cab: bool = True,
        checkpointing: bool = False,
    ) -> None:
        super().__init__(channels)
        w = check_whole("width", width, _REDUCTION)
        wide = w + check_whole("stage2_step", stage2_step, 0)
        self.split, self.checkpointing = split, checkpointing
        if not isinstance(rsp, nn.Module):
            check_one_of("rsp", rsp, ("agnet", "agnet-guided", None))
            rsp = None if rsp is None else AGNet(channels, rsp_width, classes, guided_filter=rsp == "agnet-guided")
        self.rsp = rsp
        self.multiple = 8 if rsp is None else 16
        self.slope = nn.Parameter(torch.tensor([0.25]))  # one PReLU for the whole network, as in MPRNet
        self.stage1 = _Stage1(channels, w, check_whole("step", step, 0), cab)
        self.stage2 = None
        if stage2:
            structure: Any = () if rsp is None else rsp.feature_widths
            self.stage2 = _Stage2(channels, (w, step, wide), check_whole("num_cab", num_cab), structure, cab)

    def forward(self, image: Tensor) -> MAGEOutput:
        """(B, C, H, W) in [0, 1] -> both stages and the segmentation; sides multiples of 16, of 8 without RSP."""
        structure = Structure((), ()) if self.rsp is None else self.rsp(image)
        first, attended, context = self.stage1(image, self.slope, self.split)
        if self.stage2 is None:
            return MAGEOutput((first,), structure.segmentation)
        run = _recomputed if self.checkpointing and self.training else _plain
        second = self.stage2(image, attended, context, structure.features, self.slope, run)
        return MAGEOutput((first, second), structure.segmentation)


class CAB(nn.Module):
    """Channel attention block of MPRNet: x + A(y) y, y two convolutions, A from the means of y's channels."""

    def __init__(self, width: int, attention: bool = True) -> None:
        super().__init__()
        self.first = _conv(width, width)
        self.second = _conv(width, width)
        self.attention = None
        if attention:
            narrow = max(1, width // _REDUCTION)
            squeeze, excite = _conv(width, narrow, 1), _conv(narrow, width, 1)
            self.attention = nn.Sequential(squeeze, nn.ReLU(), excite, nn.Sigmoid())

    def forward(self, x: Tensor, slope: Tensor) -> Tensor:
        """(B, N, H, W) -> the same; `slope` is that of the PReLU."""
        y: Tensor = self.second(_prelu(self.first(x), slope))
        return x + (y if self.attention is None else y * self.attention(y.mean((2, 3), keepdim=True)))


class SAM(nn.Module):
    """Supervised attention module of MPRNet: the stage's image, and its features gated by what that image shows."""

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.keep = _conv(width, width, 1)
        self.image = _conv(width, channels, 1)
        self.gate = _conv(channels, width, 1)

    def forward(self, features: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, N, H, W) and the input (B, C, H, W) -> the enhanced image and the gated features."""
        enhanced = self.image(features) + image
        return enhanced, features + self.keep(features) * self.gate(enhanced).sigmoid()


class FAB(nn.Module):
    """Fundus attention block: CABs, + context of stage 1, then a filter over these and the features of the RSP.

    The filter is conv3x3, PReLU, conv1x1; the whole is a residual. Both are ours: the paper says "a learnable
    non-linear transformation filter", and the 1 x 1 keeps to its number of parameters.
    """

    def __init__(self, width: int, num_cab: int, structure: bool, attention: bool) -> None:
        super().__init__()
        self.blocks = _Blocks(width, num_cab, attention)
        self.mix = _conv(2 * width if structure else width, width)
        self.out = _conv(width, width, 1)

    def forward(self, x: Tensor, context: Tensor, structure: Tensor | None, slope: Tensor) -> Tensor:
        """All (B, N, H, W) -> the same."""
        y = self.blocks(x, slope) + context
        if structure is not None:
            y = torch.cat([y, structure], 1)
        mixed: Tensor = self.out(_prelu(self.mix(y), slope))
        return x + mixed


class _Stage1(nn.Module):
    """A U-Net of three levels; SAM at its end."""

    def __init__(self, channels: int, width: int, step: int, attention: bool) -> None:
        super().__init__()
        a, b, c = (width + n * step for n in range(3))
        self.shallow = _conv(channels, a)
        self.entry = CAB(a, attention)
        self.encoder = nn.ModuleList(_Blocks(n, 2, attention) for n in (a, b, c))
        self.down = nn.ModuleList([_conv(a, b, 1), _conv(b, c, 1)])
        self.decoder = nn.ModuleList(_Blocks(n, 2, attention) for n in (c, b, a))
        self.up = nn.ModuleList([_conv(c, b, 1), _conv(b, a, 1)])
        self.skips = nn.ModuleList([CAB(b, attention), CAB(a, attention)])
        self.sam = SAM(a, channels)

    def forward(self, image: Tensor, slope: Tensor, split: bool) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """The enhanced image, the gated features, and (encoder, decoder) maps at 1, 1/2 and 1/4."""
        x = self.entry(self.shallow(_halves(image) if split else image), slope)
        encoded = [self.encoder[0](x, slope)]
        for level, down in zip(self.encoder[1:], self.down, strict=True):
            encoded.append(level(down(F.avg_pool2d(encoded[-1], 2)), slope))  # pooling by 2 is bilinear halving
        if split:
            encoded = [_joined(e) for e in encoded]
        decoded = [self.decoder[0](encoded[2], slope)]
        levels = zip(self.decoder[1:], self.up, self.skips, (encoded[1], encoded[0]), strict=True)
        for level, up, skip, side in levels:
            decoded.append(level(double(up(decoded[-1])) + skip(side, slope), slope))
        enhanced, attended = self.sam(decoded[-1], image)
        return enhanced, attended, list(zip(encoded, reversed(decoded), strict=True))


class _Stage2(nn.Module):
    """Three FABs at full resolution: FAB n gets level n of stage 1; RSP features at 1/8 and 1/4, at 1/2, and at 1."""

    def __init__(
        self, channels: int, widths: tuple[int, int, int], num_cab: int, structure: tuple[int, ...], attention: bool
    ) -> None:
        super().__init__()
        width, step, wide = widths
        self.shallow = _conv(channels, width)
        self.entry = CAB(width, attention)
        self.fuse = _conv(2 * width, wide)
        levels = [width + n * step for n in range(3)]
        self.encoded = nn.ModuleList(_conv(n, wide, 1) for n in levels)
        self.decoded = nn.ModuleList(_conv(n, wide, 1) for n in levels)
        self.structure = nn.ModuleList(_conv(n, wide, 1) for n in structure)
        self.blocks = nn.ModuleList(FAB(wide, num_cab, bool(structure), attention) for _ in range(3))
        self.residual = _conv(wide, channels)

    def forward(
        self,
        image: Tensor,
        attended: Tensor,
        context: list[tuple[Tensor, Tensor]],
        features: tuple[Tensor, ...],
        slope: Tensor,
        run: Callable[..., Tensor],
    ) -> Tensor:
        size = image.shape[-2:]
        maps: list[Tensor | None] = [None] * 3
        if features:
            coarse, quarter, half, whole = (resize(p(f), *size) for p, f in zip(self.structure, features, strict=True))
            maps = [coarse + quarter, half, whole]
        x = self.fuse(torch.cat([self.entry(self.shallow(image), slope), attended], 1))
        for level, (encoded, decoded) in enumerate(context):
            side = resize(self.encoded[level](encoded) + self.decoded[level](decoded), *size)
            x = run(self.blocks[level], x, side, maps[level], slope)
        residual: Tensor = self.residual(x)
        return residual + image


class _Blocks(nn.ModuleList):
    """A sequence of CABs."""

    def __init__(self, width: int, count: int, attention: bool) -> None:
        super().__init__(CAB(width, attention) for _ in range(count))

    def forward(self, x: Tensor, slope: Tensor) -> Tensor:
        for block in self:
            x = block(x, slope)
        return x


def _halves(image: Tensor) -> Tensor:
    """(B, C, H, W) -> (2 B, C, H / 2, W): with zeros beyond the seam, and channel attention of its own for each."""
    batch, channels, height, width = image.shape
    return image.reshape(batch, channels, 2, height // 2, width).transpose(1, 2).flatten(0, 1)


def _joined(halves: Tensor) -> Tensor:
    """The inverse of `_halves`."""
    batch, channels, height, width = halves.shape
    return halves.reshape(batch // 2, 2, channels, height, width).transpose(1, 2).flatten(2, 3)


def _conv(channels: int, width: int, kernel: int = 3) -> nn.Conv2d:
    return nn.Conv2d(channels, width, kernel, padding=kernel // 2, bias=False)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return F.prelu(x, slope.to(x.dtype))  # autocast leaves the parameter in float32


def _plain(block: nn.Module, *inputs: Any) -> Tensor:
    result: Tensor = block(*inputs)
    return result


def _recomputed(block: nn.Module, *inputs: Any) -> Tensor:
    result: Tensor = checkpoint(block, *inputs, use_reentrant=False)
    return result
