"""The trainers of the five networks, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import torch

from degrade.settings import closest
from enhance.configuration import read_config
from enhance.trainers import presets
from enhance.trainers.base import Config, Losses, Sources, Trainer, Updater, frozen
from enhance.trainers.presets import PAPER

__all__ = ["TRAINERS", "Config", "Losses", "Sources", "Trainer", "Updater", "frozen", "trainer"]

LARGEST = 2**31
"""Weights of all networks of a trainer together; 32 GiB with their gradients and Adam's averages."""

_CLASSES = {
    "pcenet": "PCETrainer",
    "zhao": "ZhaoTrainer",
    "magenet": "MAGETrainer",
    "xbdcnn": "XBDCNNTrainer",
    "sspnet": "SSPTrainer",
}


class _Lazy(Mapping[str, type[Trainer]]):
    """Trainer classes by name, imported when they are looked up."""

    def __getitem__(self, name: str) -> type[Trainer]:
        called = _CLASSES[name]
        found: type[Trainer] = getattr(import_module(f"enhance.trainers.{name}"), called)
        return found

    def __contains__(self, name: object) -> bool:
        return name in _CLASSES

    def __iter__(self) -> Iterator[str]:
        return iter(_CLASSES)

    def __len__(self) -> int:
        return len(_CLASSES)


TRAINERS: Mapping[str, type[Trainer]] = _Lazy()


def trainer(name: str, /, *, preset: str = PAPER, **config: Any) -> Trainer:
    """Make a trainer with new weights from its configuration's seed, the same on every machine.

    Args:
        name: pcenet, zhao, magenet, xbdcnn or sspnet.
        preset: "paper", "released" or "small": see `enhance.trainers.presets`, which also lists the options of a run
            that belong to it.
        config: fields of the trainer's configuration that differ from the preset's.

    Raises:
        ValueError: an unknown name, preset or field, a value that is not allowed, or more than `LARGEST` weights.

    >>> trainer("xbdcnn", width=4, level_width=4, steps=100).config.batch_size
    32
    """
    if name not in TRAINERS:
        raise ValueError(f"unknown trainer {name!r}{closest(name, TRAINERS)}")
    kind = TRAINERS[name]
    chosen = presets.preset(name, preset, kind.config_class).config
    settings = read_config(kind.config_class, {**chosen, **config})
    with torch.device("meta"):  # takes no memory
        count = sum(weight.numel() for weight in kind(settings).networks.parameters())
    if count > LARGEST:
        raise ValueError(f"{name} would have {count:,} weights: allowed are {LARGEST:,}; make its networks smaller")
    return kind(settings)
