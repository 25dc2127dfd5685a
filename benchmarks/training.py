"""How long the trainers of the five networks wait for their streams."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import degrade
from benchmarks.timing import Row, Spread
from degrade.stream import open_source
from degrade.stream.arrays import DatasetSource
from enhance.trainers import TRAINERS, Sources, trainer
from enhance.training import Options, log, train

SMALL: Mapping[str, dict[str, Any]] = {
    "pcenet": {"batch_size": 4, "views": 4, "width": 8},
    "zhao": {"batch_size": 2, "width": 8, "blocks": 2, "d_width": 8},
    "magenet": {"batch_size": 4, "width": 8, "level_step": 4, "stage2_step": 4, "num_cab": 1, "rsp_width": 4},
    "xbdcnn": {"batch_size": 8, "patches": 1, "width": 8, "level_width": 8},
    "sspnet": {
        "batch_size": 4,
        "width": 8,
        "depths": (1, 1, 1, 1),
        "decoder": (32, 16, 8, 8, 8),
        "d_width": 8,
        "d_layers": 1,
    },
}
"""Widths far below the published ones: the wider a network, the less of a step is waiting."""

KINDS = {"xbdcnn": "chest", "sspnet": "cornea"}
WARM_UP = 2


def training(size: int = 128, steps: int = 10, images: int = 8, small: Mapping[str, Any] = SMALL) -> list[Row]:
    """The share of a step spent on waiting for the next batch, decoded phantoms in memory, no workers.

    Args:
        size: side of the images, used whole.
        steps: measured, after two that are not.
        images: of the source.
        small: configuration of each network.
    """
    return [_row(name, size, steps, images, dict(small[name])) for name in TRAINERS]


def _row(name: str, size: int, steps: int, images: int, small: dict[str, Any]) -> Row:
    one = trainer(name, steps=WARM_UP + steps, size=None, crop=None, **small)
    high = _rendered(KINDS.get(name, "fundus"), size, images)
    low = None
    if one.needs_low != "no":
        clean = torch.stack([degrade.images.image_io.to_float(high.load(index)["image"]) for index in range(images)])
        low = open_source(degrade.recipe(one.config.recipe)(clean, degrade.make_keys(100, images)))
    with tempfile.TemporaryDirectory() as folder:
        train(one, Sources(high, low), folder, Options(log_every=1, bar=False))
        lines = [line for line in log.read(Path(folder)) if "losses" in line][WARM_UP:]
    weights = sum(weight.numel() for weight in one.networks.parameters())
    return {
        "network": name,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
        "parameters, thousand": weights / 1e3,
        "size": size,
        "batch": one.config.batch_size,
        "step, ms": Spread.of([1e3 * line["seconds"] for line in lines]),
        "images/s": Spread.of([line["images_per_second"] for line in lines]),
        "waiting, %": Spread.of([100 * line["waiting"] for line in lines]),
    }


def _rendered(kind: str, size: int, images: int) -> DatasetSource:
    """Phantoms drawn beforehand: rendering them is no part of a stream's work."""
    source = open_source(f"phantom:{kind}?count={images}&size={size}")
    return DatasetSource([source.load(index) for index in range(images)])
