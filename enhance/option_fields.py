"""Dataclass fields with help, unit and allowed range, from which flags, TOML keys, checks and documentation are made.

@dataclass(frozen=True)
class Options:
    keep: int = option(2, "Checkpoints kept, the newest.", unit="checkpoints", least=1)

options_of(Options)[0].flag      # "--keep"
options_of(Options)[0].allowed   # "at least 1"
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

_METADATA = "about"
_METAVARS = {int: "N", float: "X", str: "TEXT"}


@dataclass(frozen=True, kw_only=True)
class About:
    """Metadata of an option.

    Attributes:
        help: sentence for the command's help and the documentation.
        unit: of the value, as the command and run.toml take it.
        least, most: allowed range, both included; None for no limit.
        below: upper limit of the range that is not included itself; None for none.
        choices: allowed words; empty for any.
        metavar: how the help shows the value; by default N, X or TEXT.
        key: name in run.toml, and of the flag; "" for the field's own.
        scale: what a value of run.toml is multiplied by to give the field's.
        default_text: default in words for the help; "" for the value.
        command: default of the command where it is not the field's; None where it is.
        argument: positional argument of the command instead of a flag.
    """

    help: str
    unit: str = ""
    least: float | None = None
    most: float | None = None
    below: float | None = None
    choices: tuple[str, ...] = ()
    metavar: str = ""
    key: str = ""
    scale: int = 1
    default_text: str = ""
    command: Any = None
    argument: bool = False


@dataclass(frozen=True)
class Option:
    """One field of a dataclass of options: see `options_of`.

    Attributes:
        name: of the field.
        kind: bool, int, float or str: type of the value in run.toml and on the command line.
        default: of the field.
        about: its metadata.
    """

    name: str
    kind: type
    default: Any
    about: About

    @property
    def key(self) -> str:
        """Name in run.toml."""
        return self.about.key or self.name

    @property
    def flag(self) -> str:
        """Name on the command line: "--log-every", or "NETWORK" for a positional argument."""
        return self.key.upper() if self.about.argument else f"--{self.key.replace('_', '-')}"

    @property
    def metavar(self) -> str:
        """How the help shows the value."""
        return self.about.metavar or "|".join(self.about.choices) or _METAVARS.get(self.kind, "")

    @property
    def allowed(self) -> str:
        """The allowed range in words; "" for no limit."""
        about = self.about
        if about.choices:
            return " or ".join(about.choices)
        least = "" if about.least is None else f"at least {about.least:,}"
        most = f"less than {about.below:,}" if about.below is not None else ""
        most = f"at most {about.most:,}" if about.most is not None else most
        return " and ".join(part for part in (least, most) if part)

    @property
    def default_text(self) -> str:
        """The default of the command in words; "" for none."""
        about = self.about
        if about.default_text or self.kind is bool:
            return about.default_text or ("on" if self.default else "off")
        value = self.default if about.command is None else about.command
        return "" if value is None else f"{value / about.scale:g}" if self.kind is float else str(value)

    def check(self, value: Any) -> None:
        """Raise ValueError where a field's value is outside the allowed range. A default of None is allowed."""
        about = self.about
        if value is None and self.default is None:
            return
        fits = not about.choices or value in about.choices
        if about.least is not None:
            fits = fits and value >= about.least * about.scale
        if about.most is not None:
            fits = fits and value <= about.most * about.scale
        if about.below is not None:
            fits = fits and value < about.below * about.scale
        if not fits:
            unit = f" {about.unit}" if about.scale != 1 else ""
            raise ValueError(f"{self.name} = {value!r}: allowed is {self.allowed}{unit}")


def option(default: Any, help: str, **about: Any) -> Any:
    """A dataclass field with metadata; arguments as of `About`."""
    return dataclasses.field(default=default, metadata={_METADATA: About(help=help, **about)})


def options_of(kind: type) -> tuple[Option, ...]:
    """The options of a dataclass in the order of its fields.

    Raises:
        KeyError: a field that was not declared with `option`.
    """
    hints = typing.get_type_hints(kind)
    found = []
    for field in dataclasses.fields(kind):
        about: About = field.metadata[_METADATA]
        hint = hints[field.name]
        if isinstance(hint, types.UnionType):  # such as int | None
            hint = next(part for part in typing.get_args(hint) if part is not types.NoneType)
        found.append(Option(field.name, hint if about.scale == 1 else float, field.default, about))
    return tuple(found)


def from_keys(kind: type[T], values: Mapping[str, Any]) -> T:
    """An instance from values by key, as run.toml has them; keys of other dataclasses are passed over."""
    options = {option.key: option for option in options_of(kind)}
    given = {}
    for key, value in values.items():
        if key in options:
            chosen = options[key]
            given[chosen.name] = int(value * chosen.about.scale) if chosen.about.scale != 1 else value
    return kind(**given)


def documented(kind: type[T]) -> type[T]:
    """Class decorator: append the fields' help, units and allowed ranges to the docstring."""
    lines = []
    for one in options_of(kind):
        about = one.about
        unit = f" [{about.unit}]" if about.unit and about.scale == 1 else ""
        allowed = f" Allowed is {one.allowed}." if one.allowed and about.scale == 1 else ""
        scaled = f" In run.toml `{one.key}`, {about.unit}, {one.allowed}." if about.scale != 1 else ""
        lines.append(f"        {one.name}:{unit} {about.help}{allowed}{scaled}")
    kind.__doc__ = "\n".join([f"{(kind.__doc__ or '').rstrip()}\n\n    Attributes:", *lines, "    "])
    return kind
