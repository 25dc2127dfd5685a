"""Settings of recipes: named ranges and options, each with its unit, its limits and its meaning.

A model declares them once, as annotations in the signature of its constructor (`declared` reads them):

    def __init__(self, *, sigma: Annotated[Span, drawn((0, 255), "grey levels", "noise")] = (0, 20)) -> None: ...
"""

from __future__ import annotations

import difflib
import inspect
import math
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, get_type_hints

import torch
from torch import Tensor

from degrade.text import shown

Value = bool | float | str | tuple[float, float]

Span = float | tuple[float, float]
"""A number, which is fixed, or a pair (low, high), from which each sample's value is drawn."""


@dataclass(frozen=True)
class Range:
    """A number that is drawn per sample: uniform between two ends, or fixed where they are equal.

    `limits` are the values that either end may have; `whole` says that whole numbers are drawn, both ends included.
    """

    default: float | tuple[float, float]
    limits: tuple[float, float]
    unit: str
    meaning: str
    whole: bool = False

    def read(self, name: str, value: Any) -> Value:
        """`value` as a float (fixed) or a pair of floats (uniform between them); ValueError if it is neither."""
        pair = value if isinstance(value, (tuple, list)) else (value, value)
        low, high = self.limits
        allowed = f"allowed is a number or a pair (low, high) within [{low:g}, {high:g}] {self.unit}".rstrip()
        numbers = len(pair) == 2 and all(isinstance(end, Real) and not isinstance(end, bool) for end in pair)
        if not numbers or not all(math.isfinite(end) and low <= end <= high for end in pair) or pair[0] > pair[1]:
            raise ValueError(f"{name} = {shown(value)}: {allowed}")
        if self.whole and any(end != int(end) for end in pair):
            raise ValueError(f"{name} = {shown(value)}: whole numbers only; {allowed}")
        return (float(pair[0]), float(pair[1])) if pair[0] != pair[1] else float(pair[0])


@dataclass(frozen=True)
class Choice:
    """One of a few words, or (with `choices` (False, True)) a switch."""

    default: str | bool
    choices: tuple[str | bool, ...]
    meaning: str
    unit: str = ""

    def read(self, name: str, value: Any) -> Value:
        """`value` if it is one of the choices; ValueError otherwise."""
        if value not in self.choices or isinstance(value, bool) != isinstance(self.choices[0], bool):
            raise ValueError(f"{name} = {shown(value)}: allowed is one of {', '.join(map(str, self.choices))}")
        chosen: Value = value
        return chosen


@dataclass(frozen=True)
class Number:
    """A number that is the same for all samples."""

    default: float
    limits: tuple[float, float]
    unit: str
    meaning: str

    def read(self, name: str, value: Any) -> Value:
        """`value` as a float within the limits; ValueError otherwise."""
        low, high = self.limits
        if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
            raise ValueError(
                f"{name} = {shown(value)}: allowed is one number within [{low:g}, {high:g}] {self.unit}".rstrip()
            )
        return float(value)


Setting = Range | Choice | Number


def drawn(limits: tuple[float, float], unit: str, meaning: str, whole: bool = False) -> Range:
    """A `Range` for the annotation of an argument, whose default is the argument's."""
    return Range(limits[0], limits, unit, meaning, whole)


def choice(meaning: str, *choices: str | bool) -> Choice:
    """A `Choice` for the annotation of an argument: a switch unless there are `choices`."""
    allowed = choices or (False, True)
    return Choice(allowed[0], allowed, meaning)


def fixed(limits: tuple[float, float], unit: str, meaning: str) -> Number:
    """A `Number` for the annotation of an argument, whose default is the argument's."""
    return Number(limits[0], limits, unit, meaning)


def declared(constructor: Callable[..., Any]) -> dict[str, Setting]:
    """The settings in a constructor's signature: its arguments that are annotated with one, and their defaults."""
    hints = get_type_hints(constructor, include_extras=True)
    found: dict[str, Setting] = {}
    for name, argument in inspect.signature(constructor).parameters.items():
        for note in getattr(hints.get(name), "__metadata__", ()):
            if isinstance(note, (Range, Choice, Number)):
                found[name] = replace(note, default=argument.default)
    return found


def describe(table: Mapping[str, Setting]) -> str:
    """Settings as a section of a docstring."""
    lines = ["Settings:"]
    for name, setting in table.items():
        if isinstance(setting, Choice):
            allowed = "one of " + ", ".join(map(str, setting.choices))
        else:
            allowed = f"within [{setting.limits[0]:g}, {setting.limits[1]:g}] {setting.unit}".rstrip()
        text = f"{name}: {setting.meaning}; {allowed}. Default: {setting.default}."
        lines += textwrap.wrap(text, 112, initial_indent=8 * " ", subsequent_indent=12 * " ")
    return "\n".join(lines) if table else ""


def read_settings(table: Mapping[str, Setting], given: Mapping[str, Any]) -> dict[str, Value]:
    """Every setting of `table`: as given, checked, or its default. Unknown names are refused with the closest one."""
    for name in given:
        if name not in table:
            raise ValueError(f"unknown setting {name!r}{closest(name, table)}")
    return {name: setting.read(name, given.get(name, setting.default)) for name, setting in table.items()}


def closest(name: str, names: Iterable[str]) -> str:
    """The end of an error message: what `name` was probably meant to be, or all there is.

    >>> closest("britness", ["brightness", "contrast"])
    '; did you mean brightness?'
    """
    names = list(names)
    matches = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {matches[0]}?" if matches else f"; there are {', '.join(names)}"


def ends(value: Value) -> tuple[float, float]:
    """The two ends of a range's value, equal for a fixed number."""
    if isinstance(value, tuple):
        return value
    return float(value), float(value)


def uniform(value: Value, u: Tensor) -> Tensor:
    """`u` in [0, 1) mapped to the range."""
    low, high = ends(value)
    return low + (high - low) * u


def whole(low: float | Tensor, high: float | Tensor, u: Tensor) -> Tensor:
    """`u` in [0, 1) mapped to the whole numbers low, low + 1, ..., high, with equal chances."""
    return low + torch.floor((high - low + 1) * u)
