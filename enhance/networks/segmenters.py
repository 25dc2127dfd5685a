"""Segmenters: networks that find structures such as vessels; a small U-Net, and the AG-Net of MAGE-Net."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from enhance.losses.teacher import multi_scale_segmentation
from enhance.networks.agnet import AGNet
from enhance.networks.base import check_one_of, check_whole
from enhance.networks.blocks import double, instance_norm, pad_to_multiple

KINDS = ("unet", "agnet", "agnet-guided")
_LEVELS = 4


class Segmenter(nn.Module, ABC):
    """Network that finds structures in images.

    Attributes:
        channels: of the images, 1 or 3.
        structures: what it finds, in the order of the channels of its results.
        size: side that images were resized to in its training, pixels; None if that is not known.
        options: what `save_segmenter` writes beside the weights.
    """

    def __init__(self, kind: str, channels: int, width: int, structures: Sequence[str], size: int | None) -> None:
        super().__init__()
        check_one_of("channels", channels, (1, 3))
        if not structures or isinstance(structures, str):
            raise ValueError(f"structures = {structures!r}: allowed is a sequence of names")
        self.channels, self.structures, self.size = channels, tuple(structures), size
        self.options: dict[str, Any] = {
            "channels": channels,
            "width": check_whole("width", width),
            "network": kind,
            "structures": list(structures),
            "size": size,
        }

    @abstractmethod
    def probability(self, image: Tensor) -> Tensor:
        """(B, structures, H, W) in [0, 1] of images (B, channels, H, W) in [0, 1] of any size."""

    @abstractmethod
    def loss(self, image: Tensor, maps: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        """What training minimizes: images, maps of the structures (B, 1, H, W), fields of view."""

    @torch.no_grad()
    def segment(self, image: Tensor, mask: Tensor) -> Tensor:
        """Probability of each structure, (B, structures, H, W) in [0, 1]; 0 outside the mask (B, 1, H, W).

        A grey image is repeated to three channels and a color image averaged to one, as the network needs.
        """
        if image.shape[1] != self.channels:
            image = image.expand(-1, 3, -1, -1) if self.channels == 3 else image.mean(1, keepdim=True)
        return self.probability(image.float()) * mask


class VesselSegmenter(Segmenter):
    """A U-Net of four levels with instance norm; structures may overlap.

    Args:
        channels: of the images, 1 or 3.
        width: channels at full resolution; twice as many at each lower level.
        structures: names of what it finds.
        size: see `Segmenter`.

    >>> segmenter = VesselSegmenter(width=4)
    >>> segmenter(torch.rand(1, 3, 61, 97)).shape
    torch.Size([1, 1, 61, 97])
    """

    def __init__(
        self, channels: int = 3, width: int = 16, structures: Sequence[str] = ("vessels",), size: int | None = None
    ) -> None:
        super().__init__("unet", channels, width, structures, size)
        widths = [width * 2**level for level in range(_LEVELS)]
        self.down = nn.ModuleList(
            _double_convolution(low, high) for low, high in zip([channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(_double_convolution(3 * low, low) for low in reversed(widths[:-1]))
        self.last = nn.Conv2d(width, len(structures), 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, structures, H, W) of images (B, C, H, W) in [0, 1] of any size."""
        height, width = image.shape[-2:]
        smallest = 2 * 2 ** (_LEVELS - 1)  # the lowest level must be more than one pixel for its norm
        x = pad_to_multiple(image, smallest // 2, smallest) * 2 - 1
        kept = []
        for level, block in enumerate(self.down):
            x = block(x if level == 0 else F.max_pool2d(x, 2))
            kept.append(x)
        kept.pop()
        for block in self.up:
            x = block(torch.cat([double(x), kept.pop()], 1))
        logits: Tensor = self.last(x)
        return logits[..., :height, :width]

    def probability(self, image: Tensor) -> Tensor:
        found: Tensor = self(image).sigmoid()
        return found

    def loss(self, image: Tensor, maps: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        return _loss(self(image), torch.cat([maps[name] for name in self.structures], 1), mask)


class AGNetSegmenter(Segmenter):
    """AG-Net on four scales, the structure network of MAGE-Net; where structures overlap the last one counts.

    Args:
        guided_filter: see `enhance.networks.agnet.AGNet`.
        channels, width, structures, size: as of `VesselSegmenter`; `width` is AG-Net's.

    >>> AGNetSegmenter(width=4).probability(torch.rand(1, 3, 33, 47)).shape
    torch.Size([1, 1, 33, 47])
    """

    def __init__(
        self,
        channels: int = 3,
        width: int = 32,
        structures: Sequence[str] = ("vessels",),
        size: int | None = None,
        guided_filter: bool = False,
    ) -> None:
        kind = "agnet-guided" if guided_filter else "agnet"
        super().__init__(kind, channels, width, structures, size)
        self.network = AGNet(channels, width, 1 + len(structures), guided_filter)

    def probability(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        scales = self.network(pad_to_multiple(image, 16, 32)).segmentation
        mean = torch.stack([scale.softmax(dim=1) for scale in scales]).mean(dim=0)
        return mean[:, 1:, :height, :width]

    def loss(self, image: Tensor, maps: Mapping[str, Tensor], mask: Tensor) -> Tensor:
        return multi_scale_segmentation(self.network(image).segmentation, class_labels(maps, self.structures))


def class_labels(maps: Mapping[str, Tensor], structures: Sequence[str]) -> Tensor:
    """(B, H, W) int64: 0 for none, else the number of the structure, from 1; where several are, the last one counts.

    >>> disc, cup = torch.tensor([[[[1.0, 1.0, 0.0]]]]), torch.tensor([[[[0.0, 1.0, 0.0]]]])
    >>> class_labels({"disc": disc, "cup": cup}, ("disc", "cup")).tolist()
    [[[1, 2, 0]]]
    """
    labels = torch.zeros_like(maps[structures[0]][:, 0], dtype=torch.int64)
    for number, name in enumerate(structures, 1):
        labels = torch.where(maps[name][:, 0] > 0.5, number, labels)
    return labels


def make_segmenter(
    kind: str, channels: int, width: int, structures: Sequence[str] = ("vessels",), size: int | None = None
) -> Segmenter:
    """A segmenter with new weights from torch's global generator; `kind` is one of `KINDS`."""
    check_one_of("network", kind, KINDS)
    if kind == "unet":
        return VesselSegmenter(channels, width, structures, size)
    return AGNetSegmenter(channels, width, structures, size, guided_filter=kind == "agnet-guided")


def _loss(logits: Tensor, vessels: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy plus one minus soft Dice, within the field of view."""
    entropy = (F.binary_cross_entropy_with_logits(logits, vessels, reduction="none") * mask).sum() / mask.sum()
    probability = logits.sigmoid() * mask
    overlap = 2 * (probability * vessels).sum() + 1
    return entropy + 1 - overlap / (probability.sum() + (vessels * mask).sum() + 1)


def _double_convolution(low: int, high: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(low, high, 3, padding=1), instance_norm(high), nn.ReLU(),
        nn.Conv2d(high, high, 3, padding=1), instance_norm(high), nn.ReLU(),
    )  # fmt: skip
