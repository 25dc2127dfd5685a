"""Presets of the trainers: settings that belong together, by trainer and name. The one place where they are listed.

"paper" is the default: what the paper says, or where it is silent what the configuration's docstring names.
"released" is what the authors' code does, where there is some. "small" is for a hundred images and hours of a CPU, or
minutes of a GPU: narrow networks, whole frames and a running average, as in docs/results.md.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

PAPER = "paper"
NAMES = (PAPER, "released", "small")


@dataclass(frozen=True)
class RunPreset:
    """What a preset changes: fields of the trainer's configuration, and options of the run by their keys."""

    config: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


PRESETS: Mapping[str, Mapping[str, RunPreset]] = {
    "pcenet": {
        PAPER: RunPreset(),
        "released": RunPreset({"lr": 2e-4}),
        "small": RunPreset(
            {"steps": 7_500, "width": 16, "size": 160, "crop": None, "batch_size": 2, "views": 2}, {"ema": 0.998}
        ),
    },
    "zhao": {
        PAPER: RunPreset(),
        "small": RunPreset(
            {"steps": 7_500, "width": 24, "blocks": 4, "d_width": 24, "size": 160, "crop": None, "lr": 3e-4},
            {"ema": 0.998},
        ),
    },
    "magenet": {
        PAPER: RunPreset(),
        "small": RunPreset(
            {
                "steps": 800,
                "width": 12,
                "level_step": 6,
                "stage2_step": 6,
                "num_cab": 1,
                "rsp_width": 8,
                "size": 128,
                "batch_size": 4,
                "unlabelled_size": 2,
                "lr": 1e-3,
                "ema": 0.95,
            }
        ),
    },
    "xbdcnn": {
        PAPER: RunPreset(),
        "released": RunPreset(
            {
                "recipe": "x-bdcnn-released",
                "batch_size": 64,
                "loss_on": "residual",
                "mse_grey": 1.0,
                "ssim_range": 255.0,
                "level_grey": 1.0,
                "asymmetry": "hinge",
                "smoothness_per_batch": True,
                "maps": "eta",
                "share_layers": True,
                "last_kernel": 1,
                "seed": 1,
            }
        ),
        "small": RunPreset(
            {"steps": 2_500, "width": 16, "level_width": 16, "crop": 64, "batch_size": 16, "patches": 8}
        ),
    },
    "sspnet": {
        PAPER: RunPreset(),
        "small": RunPreset(
            {
                "steps": 700,
                "width": 16,
                "depths": (1, 1, 1, 1),
                "decoder": (64, 48, 32, 24, 16),
                "d_width": 16,
                "size": 192,
                "lr": 4e-4,
                "lr_start": 1e-4,
                "warm_up": 100,
                "halve_epochs": 40.0,
            },
            {"ema": 0.998},
        ),
    },
}


def preset(trainer: str, name: str, config_class: type) -> RunPreset:
    """A preset with a value for everything that any preset of the trainer changes, so that it can replace another one.

    Args:
        trainer: name of the trainer.
        name: one of `NAMES`.
        config_class: the trainer's, for the defaults.

    Raises:
        ValueError: the trainer has no such preset.

    >>> from enhance.trainers.pcenet import PCEConfig
    >>> preset("pcenet", "paper", PCEConfig).config["width"], preset("pcenet", "small", PCEConfig).config["width"]
    (64, 16)
    """
    of_trainer = PRESETS[trainer]
    if name not in of_trainer:
        why = f"; no code of {trainer}'s authors is known" if name == "released" else ""
        raise ValueError(f"preset = {name!r}: allowed is {' or '.join(of_trainer)} of {trainer}{why}")
    defaults = {one.name: one.default for one in dataclasses.fields(config_class)}
    chosen = of_trainer[name]
    changed = dict.fromkeys(key for one in of_trainer.values() for key in one.config)
    config = {key: chosen.config.get(key, defaults[key]) for key in changed}
    switched = dict.fromkeys(key for one in of_trainer.values() for key in one.options)
    return RunPreset(config, {key: chosen.options.get(key, _OPTIONS[key]) for key in switched})


_OPTIONS: Mapping[str, Any] = {"ema": 0.0}
"""Defaults of the options of a run that presets change."""
