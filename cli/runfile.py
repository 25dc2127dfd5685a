"""run.toml: everything that a run of `enhance train` was told, to be read by people and by --config."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cli.options import Refusal
from degrade.settings import closest

Told = dict[str, Any]

KINDS: Mapping[str, tuple[type, ...]] = {
    "network": (str,),
    "source": (str,),
    "unpaired": (str,),
    "vessels": (str,),
    "hold_out": (int, float),
    "group": (str,),
    "epochs": (int,),
    "devices": (str,),
    "precision": (str,),
    "workers": (int,),
    "cache": (int, float),
    "validate_every": (int,),
    "save_every": (int,),
    "keep": (int,),
    "log_every": (int,),
    "ema": (int, float),
    "tensorboard": (bool,),
}
"""What may be told beside the trainer's configuration, and its types."""


@dataclass(frozen=True)
class RunFile:
    """What a run is told: `told` by the names of `KINDS`, `config` by the fields of the trainer's configuration."""

    told: Told = field(default_factory=dict)
    config: Told = field(default_factory=dict)

    def merged(self, over: RunFile) -> RunFile:
        """This, with what `over` says instead. Of epochs and steps, the one given last counts."""
        told, config = self.told | over.told, self.config | over.config
        if "epochs" in over.told and "steps" not in over.config:
            config.pop("steps", None)
        if "steps" in over.config and "epochs" not in over.told:
            told.pop("epochs", None)
        return RunFile(told, config)

    def to_toml(self) -> str:
        """As a file that `read` understands."""
        lines = [f"{name} = {_toml(self.told[name])}" for name in KINDS if name in self.told]
        lines += ["", "[config]", *(f"{name} = {_toml(value)}" for name, value in self.config.items())]
        return "\n".join(lines) + "\n"


def read(path: Path, argument: str) -> RunFile:
    """A run.toml; what is wrong with it is told as a mistake in `argument`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Refusal(argument, f"cannot read {str(path)!r}: {error.strerror}") from None
    except ValueError as error:
        raise Refusal(argument, f"{str(path)!r} is no TOML: {error}") from None
    config = values.pop("config", {})
    for name, value in values.items():
        if name not in KINDS:
            raise Refusal(argument, f"{str(path)!r}: unknown name {name!r}{closest(name, [*KINDS, 'config'])}")
        kinds = KINDS[name]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise Refusal(argument, f"{str(path)!r}: {name} = {value!r}: allowed is {kinds[-1].__name__}")
    if not isinstance(config, dict):
        raise Refusal(argument, f"{str(path)!r}: config is a table: [config]")
    return RunFile(values, config)


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if value is None:
        return '"none"'  # TOML has no word for it
    if isinstance(value, float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False)
