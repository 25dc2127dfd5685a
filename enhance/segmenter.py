"""A small vessel segmenter, to measure whether vessels are easier to find in enhanced photographs.

It is not a published network. It is trained on any images with vessel masks, so that the Dice of enhanced images can be
measured without downloaded weights; figures of different segmenters cannot be compared.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degrade.files import write_bytes
from degrade.recipes import recipe
from degrade.stream import PairStream, Source
from degrade.text import TextError, parse_json
from enhance.networks.base import check_one_of, check_whole
from enhance.networks.blocks import double, instance_norm, pad_to_multiple
from enhance.probing import first_usable
from enhance.tensorfile import TensorFileError, pack, read_tensors

_FORMAT = "enhance segmenter 2"
_WITHOUT_CHECKSUM = "enhance segmenter 1"
_LEVELS = 4
_ONLY_COLORS: dict[str, Any] = {"type": "001", "halo_strength": 0, "hole_depth": 0, "hole_slope": 0}
"""Settings of recipe cofe-net that keep its changes of color and switch off the rest."""


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    """Options of the network, in the metadata of its file."""

    channels: Literal[1, 3]
    width: Annotated[int, msgspec.Meta(ge=1, le=512)]


class VesselSegmenter(nn.Module):
    """A U-Net of four levels with instance norm.

    Args:
        channels: of the images, 1 or 3.
        width: channels at full resolution; twice as many at each lower level.

    >>> segmenter = VesselSegmenter(width=4)
    >>> segmenter(torch.rand(1, 3, 61, 97)).shape
    torch.Size([1, 1, 61, 97])
    """

    def __init__(self, channels: int = 3, width: int = 16) -> None:
        super().__init__()
        check_one_of("channels", channels, (1, 3))
        self.options = {"channels": channels, "width": check_whole("width", width)}
        widths = [width * 2**level for level in range(_LEVELS)]
        self.down = nn.ModuleList(
            _double_convolution(low, high) for low, high in zip([channels, *widths], widths, strict=False)
        )
        self.up = nn.ModuleList(_double_convolution(3 * low, low) for low in reversed(widths[:-1]))
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, 1, H, W) of images (B, C, H, W) in [0, 1] of any size."""
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

    @torch.no_grad()
    def segment(self, image: Tensor, mask: Tensor) -> Tensor:
        """Probability of a vessel, (B, 1, H, W) in [0, 1]; 0 outside the mask (B, 1, H, W).

        A grey image is repeated to three channels and a color image averaged to one, as the network needs.
        """
        channels = self.options["channels"]
        if image.shape[1] != channels:
            image = image.expand(-1, 3, -1, -1) if channels == 3 else image.mean(1, keepdim=True)
        probability: Tensor = self(image.float()).sigmoid() * mask
        return probability


def train_segmenter(
    source: Source,
    *,
    structure: str = "vessels",
    steps: int = 600,
    batch_size: int = 4,
    size: int | None = 384,
    crop: int = 192,
    width: int = 16,
    seed: int = 0,
    workers: int = 0,
    device: str | torch.device = "cpu",
    report: Callable[[int, float], object] = lambda step, loss: None,
    failed: dict[str, str] | None = None,
) -> VesselSegmenter:
    """Train a segmenter on sharp images and one of their maps: cross-entropy and soft Dice, Adam, cosine to 0.

    Brightness, contrast and saturation are varied, because enhanced images have other colors.

    Args:
        source: images with the map.
        structure: name of the map.
        steps: updates.
        batch_size: windows in a step.
        crop: side of the windows, pixels.
        size: side that images are resized and padded to; the segmenter is for images of about that size.
        width: of the network.
        seed: for weights and windows.
        report: called with each step and its loss.
        failed: ids of images that cannot be used are added to it, with the reason; other images are used instead.

    Raises:
        ValueError: the source has no such map, no image that can be used, or fewer images than a batch.
    """
    first = first_usable(source)
    if first is not None and structure not in first:
        raise ValueError(f"{source.title} has no map {structure!r}")
    if len(source) < batch_size:
        raise ValueError(f"{source.title} has {len(source)} images, fewer than batch_size = {batch_size}")
    stream = PairStream(
        source,
        recipe("cofe-net", **_ONLY_COLORS),
        batch_size=batch_size,
        size=size,
        crop=crop,
        hflip=True,
        vflip=True,
        seed=seed,
        workers=workers,
        device=device,
        rank=0,
        world_size=1,
        drop_last=True,
        cache_bytes=2**30,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = VesselSegmenter(3 if first is None else first["image"].shape[0], width).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    step = 0
    while step < steps:
        for batch in stream:
            loss = _loss(network(batch.degraded), batch.maps[structure], batch.mask)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            schedule.step()
            report(step, loss.item())
            step += 1
            if step == steps:
                break
        stream.set_epoch(stream.epoch + 1)
    if failed is not None:
        failed.update(stream.failed)
    return network.requires_grad_(False).eval()


def pack_segmenter(network: VesselSegmenter) -> bytes:
    """The bytes of a segmenter's file: weights and options as safetensors, with a checksum."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return pack(tensors, {"format": _FORMAT, "options": json.dumps(network.options)})


def save_segmenter(network: VesselSegmenter, path: str | os.PathLike[str]) -> None:
    """Write weights and options as safetensors, whole or not at all; OSError where that fails."""
    write_bytes(path, pack_segmenter(network))


def load_segmenter(path: str | os.PathLike[str]) -> VesselSegmenter:
    """A segmenter that `save_segmenter` wrote, in eval mode on the CPU; ValueError for anything else.

    Nothing in the file is trusted, and no more memory is used than its weights need.
    """
    name = os.fspath(path)
    try:
        found = read_tensors(path)
    except TensorFileError as error:
        raise ValueError(f"{name!r} {error}") from None
    written = found.about.get("format")
    if written not in (_FORMAT, _WITHOUT_CHECKSUM):
        raise ValueError(f"{name!r} is no segmenter of 'enhance segmenter'")
    if written == _FORMAT and not found.checked:
        raise ValueError(f"{name!r} is damaged: its checksum is missing")
    try:
        options = parse_json(found.about.get("options", ""), _Options)
    except TextError as error:
        raise ValueError(f"{name!r} is damaged: options: {error}") from None
    with torch.device("meta"):
        wanted = {
            key: value.shape for key, value in VesselSegmenter(options.channels, options.width).state_dict().items()
        }
    if wanted != {key: value.shape for key, value in found.tensors.items()}:
        raise ValueError(f"{name!r} holds the weights of another network")
    with torch.device("cpu"):
        network = VesselSegmenter(options.channels, options.width)
    network.load_state_dict(found.tensors)
    return network.requires_grad_(False).eval()


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
