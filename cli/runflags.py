"""Flags of `enhance train`, made of the options that are declared in dataclasses: see `enhance.option_fields`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from enhance.option_fields import Option, options_of

Command = TypeVar("Command", bound=Callable[..., Any])


def flags_of(kind: type) -> Callable[[Command], Command]:
    """Decorator for a click command: add an argument or a flag for each option of a dataclass.

    The command gets each value by the option's key, None where it is not given. Ranges are left to
    `cli.runfile.check`, which says the same of a flag and of run.toml.
    """

    def add(command: Command) -> Command:
        for one in reversed(options_of(kind)):
            command = _parameter(one)(command)
        return command

    return add


def help_of(one: Option) -> str:
    """Help of a flag: what it is, the default, the allowed range."""
    default = f"default: {one.default_text}" if one.default_text else ""
    allowed = one.allowed if not one.about.choices else ""
    notes = "; ".join(part for part in (default, allowed) if part)
    return f"{one.about.help}  [{notes}]" if notes else one.about.help


def _parameter(one: Option) -> Callable[[Command], Command]:
    if one.about.argument:
        return click.argument(one.key, required=False)
    if one.kind is bool:
        names = f"{one.flag}/--no-{one.flag.removeprefix('--')}"
        return click.option(names, one.key, default=None, help=help_of(one))
    return click.option(one.flag, one.key, type=one.kind, metavar=one.metavar, help=help_of(one))
