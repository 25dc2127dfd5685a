"""Small segmenters of vessels and other structures, to measure enhanced photographs with, and to begin MAGE-Net from.

The default is not a published network. It is trained on any images with vessel masks, so that the Dice of enhanced
images can be measured without downloaded weights; figures of different segmenters cannot be compared. "agnet" is
AG-Net, whose weights `enhance train magenet --rsp` takes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import msgspec
import torch

from degrade.files import write_bytes
from degrade.recipes import recipe
from degrade.stream import PairStream, Source
from degrade.text import TextError, parse_json
from enhance.networks.segmenters import (
    KINDS,
    AGNetSegmenter,
    Segmenter,
    VesselSegmenter,
    class_labels,
    make_segmenter,
)
from enhance.probing import first_usable
from enhance.tensorfile import TensorFileError, pack, read_tensors

__all__ = [
    "KINDS",
    "AGNetSegmenter",
    "Segmenter",
    "VesselSegmenter",
    "class_labels",
    "load_segmenter",
    "make_segmenter",
    "pack_segmenter",
    "save_segmenter",
    "train_segmenter",
]

_FORMAT = "enhance segmenter 3"
_FORMER = "enhance segmenter 2"
_WITHOUT_CHECKSUM = "enhance segmenter 1"
_ONLY_COLORS: dict[str, Any] = {"type": "001", "halo_strength": 0, "hole_depth": 0, "hole_slope": 0}
"""Settings of recipe cofe-net that keep its changes of color and switch off the rest."""


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    """Options of the network, in the metadata of its file."""

    channels: Literal[1, 3]
    width: Annotated[int, msgspec.Meta(ge=1, le=512)]
    network: Literal["unet", "agnet", "agnet-guided"] = "unet"
    structures: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=16)] = ("vessels",)
    size: Annotated[int, msgspec.Meta(ge=1, le=65_536)] | None = None


def train_segmenter(
    source: Source,
    *,
    structure: str | Sequence[str] = "vessels",
    network: str = "unet",
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
) -> Segmenter:
    """Train a segmenter on sharp images and some of their maps: cross-entropy and soft Dice, Adam, cosine to 0.

    AG-Net has cross-entropy at four scales, as in MAGE-Net.

    Brightness, contrast and saturation are varied, because enhanced images have other colors.

    Args:
        source: images with the map.
        structure: name of the map, or names of several.
        network: one of `KINDS`.
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
    structures = (structure,) if isinstance(structure, str) else tuple(structure)
    first = first_usable(source)
    for name in structures if first is not None else ():
        if name not in (first or {}):
            raise ValueError(f"{source.title} has no map {name!r}")
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
        channels = 3 if first is None else first["image"].shape[0]
        made = make_segmenter(network, channels, width, structures, size).to(device)
    optimizer = torch.optim.Adam(made.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    step = 0
    while step < steps:
        for batch in stream:
            loss = made.loss(batch.degraded, batch.maps, batch.mask)
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
    return made.requires_grad_(False).eval()


def pack_segmenter(network: Segmenter) -> bytes:
    """The bytes of a segmenter's file: weights and options as safetensors, with a checksum."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return pack(tensors, {"format": _FORMAT, "options": json.dumps(network.options)})


def save_segmenter(network: Segmenter, path: str | os.PathLike[str]) -> None:
    """Write weights and options as safetensors, whole or not at all; OSError where that fails."""
    write_bytes(path, pack_segmenter(network))


def load_segmenter(path: str | os.PathLike[str]) -> Segmenter:
    """A segmenter that `save_segmenter` wrote, in eval mode on the CPU; ValueError for anything else.

    Nothing in the file is trusted, and no more memory is used than its weights need.
    """
    name = os.fspath(path)
    try:
        found = read_tensors(path)
    except TensorFileError as error:
        raise ValueError(f"{name!r} {error}") from None
    written = found.about.get("format")
    if written not in (_FORMAT, _FORMER, _WITHOUT_CHECKSUM):
        raise ValueError(f"{name!r} is no segmenter of 'enhance segmenter'")
    if written != _WITHOUT_CHECKSUM and not found.checked:
        raise ValueError(f"{name!r} is damaged: its checksum is missing")
    try:
        options = parse_json(found.about.get("options", ""), _Options)
    except TextError as error:
        raise ValueError(f"{name!r} is damaged: options: {error}") from None
    about = (options.network, options.channels, options.width, options.structures, options.size)
    with torch.device("meta"):
        wanted = {key: value.shape for key, value in make_segmenter(*about).state_dict().items()}
    if wanted != {key: value.shape for key, value in found.tensors.items()}:
        raise ValueError(f"{name!r} holds the weights of another network")
    with torch.device("cpu"):
        network = make_segmenter(*about)
    network.load_state_dict(found.tensors)
    return network.requires_grad_(False).eval()
