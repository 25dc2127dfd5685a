"""Configurations that earlier versions wrote, in run.toml and in checkpoints: fields that came later."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from enhance.configuration import FORMER

_ALWAYS = ("batch_size", "recipe", "channels", "clip", "seed")
"""Fields that every complete configuration has had."""

_THEN: Mapping[str, Mapping[str, Any]] = {
    "xbdcnn": {"mse_grey": 1.0},
    "pcenet": {"frozen": False, "multi_input": True},
}
"""By trainer, fields whose default is not what versions without them did."""


def upgraded(trainer: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the fields that a version before 0.3 did not write; what is not complete stays as it is.

    >>> complete = {"steps": 9, "batch_size": 1, "recipe": "x-bdcnn", "channels": 1, "clip": 0.0, "seed": 0}
    >>> upgraded("xbdcnn", complete)["mse_grey"], upgraded("xbdcnn", {"seed": 0})
    (1.0, {'seed': 0})
    """
    if not all(name in config for name in _ALWAYS):
        return dict(config)
    return {**_THEN.get(trainer, {}), **config}


def without_former(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without fields that are gone, for networks that are only used, not trained on."""
    return {name: value for name, value in config.items() if name not in FORMER}
