"""run.toml: everything that a run of `enhance train` was told, to be read by people and by --config."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from degrade.settings import closest
from degrade.text import TextError, convert, line_of, parse_toml, read_text, shown

from .options import Refusal

Told = dict[str, Any]

_Text = Annotated[str, Meta(max_length=4000)]
_Count = Annotated[int, Meta(ge=1, le=10**12)]


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """What may be told beside the trainer's configuration, with types and bounds."""

    network: _Text | UnsetType = UNSET
    source: _Text | UnsetType = UNSET
    unpaired: _Text | UnsetType = UNSET
    vessels: _Text | UnsetType = UNSET
    hold_out: Annotated[float, Meta(ge=0, lt=1)] | UnsetType = UNSET
    group: _Text | UnsetType = UNSET
    epochs: _Count | UnsetType = UNSET
    devices: _Text | UnsetType = UNSET
    precision: _Text | UnsetType = UNSET
    workers: Annotated[int, Meta(ge=0, le=1024)] | UnsetType = UNSET
    cache: Annotated[float, Meta(ge=0, le=1e6)] | UnsetType = UNSET
    validate_every: _Count | UnsetType = UNSET
    save_every: _Count | UnsetType = UNSET
    keep: _Count | UnsetType = UNSET
    log_every: _Count | UnsetType = UNSET
    ema: Annotated[float, Meta(ge=0, lt=1)] | UnsetType = UNSET
    tensorboard: bool | UnsetType = UNSET


NAMES = Options.__struct_fields__
"""What may be told, in the order of the file."""


@dataclass(frozen=True)
class RunFile:
    """What a run is told: `told` by the names of `Options`, `config` by the fields of the trainer's configuration."""

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
        lines = [f"{name} = {_toml(self.told[name])}" for name in NAMES if name in self.told]
        lines += ["", "[config]", *(f"{name} = {_toml(value)}" for name, value in self.config.items())]
        return "\n".join(lines) + "\n"


def check(told: Mapping[str, Any]) -> None:
    """Refuses an option of the command line that a run.toml could not hold."""
    for name, value in told.items():
        argument = name.upper() if name in ("network", "source") else f"--{name.replace('_', '-')}"
        try:
            convert({name: value}, Options)
            str(value).encode()
        except TextError as error:
            raise Refusal(argument, f"{shown(value)}: {str(error).partition(': ')[2]}") from None
        except UnicodeEncodeError:
            raise Refusal(argument, f"{value!r} is not UTF-8 text: run.toml could not name it") from None


def read(path: Path, argument: str) -> RunFile:
    """A run.toml; what is wrong with it is told as a mistake in `argument`, with the line or the field."""
    try:
        text = read_text(path)
        values = parse_toml(text)
        config = values.pop("config", {})
        for name in values:
            if name not in NAMES:
                raise TextError(f"{line_of(text, f'$.{name}')}unknown name {name!r}{closest(name, [*NAMES, 'config'])}")
        if not isinstance(config, dict):
            raise TextError(f"{line_of(text, '$.config')}config is a table: [config]")
        try:
            convert(values, Options)
        except TextError as error:
            raise TextError(f"{line_of(text, str(error))}{error}") from None
    except OSError as error:
        raise Refusal(argument, f"cannot read {str(path)!r}: {error.strerror}") from None
    except TextError as error:
        raise Refusal(argument, f"{str(path)!r}: {error}") from None
    return RunFile(values, config)


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    if value is None:
        return '"none"'  # TOML has no word for it
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, str) and "\n" in value:  # such as a recipe
        return '"""\n' + "\n".join(_escaped(line) for line in value.split("\n")) + '"""'
    return f'"{_escaped(value)}"' if isinstance(value, str) else json.dumps(value)


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
