"""What a recipe may say: named ranges and options, each with its unit, its limits and its meaning."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from degrade.text import shown

Value = bool | float | str | tuple[float, float]


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
