"""Read the configuration of a trainer from Python values, command-line text or a file, and check types and ranges."""

from __future__ import annotations

import dataclasses
import math
import numbers
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union

from degrade.settings import closest
from degrade.text import shown

if TYPE_CHECKING:
    from enhance.trainers.base import Config

C = TypeVar("C", bound="Config")

_MAPS, _LAYERS, _PIXELS = (1, 4096), (0, 64), (8, 65_536)
BOUNDS: Mapping[str, tuple[float, float]] = {
    "steps": (0, 10**12),
    "batch_size": (1, 65_536),
    "unlabelled_size": (1, 65_536),
    "size": _PIXELS,
    "crop": _PIXELS,
    "views": (1, 4096),
    "patches": (1, 10**6),
    "pool": (0, 10**6),
    "channels": (1, 3),
    "seed": (-(2**63), 2**63 - 1),
    "width": _MAPS,
    "level_width": _MAPS,
    "level_step": (0, 4096),
    "stage2_step": (0, 4096),
    "rsp_width": _MAPS,
    "d_width": _MAPS,
    "decoder": _MAPS,
    "num_cab": _LAYERS,
    "blocks": _LAYERS,
    "depths": _LAYERS,
    "d_layers": _LAYERS,
    "warm_up": (0, 10**12),
    "halve_epochs": (1e-3, 1e9),
    "epochs": (1, 10**9),
}
"""Smallest and largest allowed number of a configuration, by the name of the field. Useful networks are far smaller;
larger numbers are slips, or come from a file that would take all memory."""
_OTHERS = (-1e12, 1e12)
FORMER: Mapping[str, tuple[str, str]] = {
    "halve_every": ("halve_epochs", "it counted steps; its place has taken halve_epochs, which counts epochs"),
}
"""Former names of fields: the new name, and what to say."""


def read_config(kind: type[C], given: Mapping[str, Any]) -> C:
    """Make a configuration from some of its fields; the others keep their defaults.

    Args:
        kind: the class of the configuration.
        given: values, or text for them: "0.5", "true", "none", "64,128".

    Raises:
        ValueError: an unknown field, or a value of the wrong type or outside its bounds.

    >>> from enhance.trainers.xbdcnn import XBDCNNConfig
    >>> read_config(XBDCNNConfig, {"steps": "100", "crop": "none", "nle": "false"}).crop is None
    True
    >>> read_config(XBDCNNConfig, {"batchsize": 4})
    Traceback (most recent call last):
    ValueError: unknown field 'batchsize'; did you mean batch_size?
    """
    hints = typing.get_type_hints(kind)
    names = [field.name for field in dataclasses.fields(kind)]
    for name in given:
        if name in FORMER and FORMER[name][0] in names:
            raise ValueError(f"{name} = {shown(given[name])}: {FORMER[name][1]}")
        if name not in names:
            raise ValueError(f"unknown field {shown(name)}{closest(str(name)[:100], names)}")
    return kind(**{name: _read(name, value, hints[name]) for name, value in given.items()})


def check_bounds(config: Config) -> None:
    """Raise ValueError where a number of a configuration is outside its bounds."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        least, most = BOUNDS.get(field.name, _OTHERS)
        for number in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(number, (int, float)) and not isinstance(number, bool) and not least <= number <= most:
                raise ValueError(f"{field.name} = {shown(value)}: allowed is {least:,} to {most:,}")


def plain(config: Config) -> dict[str, Any]:
    """The fields as values for JSON and TOML: tuples become lists, None stays."""
    values = dataclasses.asdict(config)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _read(name: str, value: Any, hint: Any) -> Any:
    union = typing.get_origin(hint) in (Union, types.UnionType)
    options = list(typing.get_args(hint)) if union else [hint]
    for option in sorted(options, key=lambda option: option is str):  # text last, since any value given as text fits it
        is_word = option is str or (typing.get_origin(option) is Literal and value in typing.get_args(option))
        parsed = _parse(value) if isinstance(value, str) and not is_word else value  # "none" may be such a word
        try:
            return _check(parsed, option)
        except (TypeError, ValueError, OverflowError):
            continue
    raise ValueError(f"{name} = {shown(value)}: allowed is {' or '.join(map(_word, options))}")


def _parse(text: str) -> Any:
    """Convert text to None, a bool, a number, or a tuple of them (separated by commas); other text is kept."""
    text = text.strip()
    if "," in text:
        return tuple(_parse(part) for part in text.split(",") if part.strip())
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    for number in (int, float):
        try:
            return number(text)
        except ValueError:
            continue
    return text


def _check(value: Any, option: Any) -> Any:
    """Convert a value to one type of a hint; raises TypeError or ValueError if it does not fit."""
    if typing.get_origin(option) is Literal:
        fits = any(value == word and type(value) is type(word) for word in typing.get_args(option))
    elif typing.get_origin(option) is tuple:
        kinds = typing.get_args(option)
        value = (value,) if isinstance(value, str) else value  # one word is a tuple of one
        if kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        return tuple(_check(part, kind) for part, kind in zip(value, kinds, strict=True))
    elif option is float:
        fits = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
        value = float(value) if fits else value
    elif option is int:  # NumPy's integers too
        fits = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        value = int(value) if fits else value
    else:
        fits = isinstance(value, option) and (option is bool or not isinstance(value, bool))
    if not fits:
        raise ValueError
    return value


def _word(option: Any) -> str:
    """Describe a type in words, for an error message."""
    if typing.get_origin(option) is Literal:
        return " or ".join(map(repr, typing.get_args(option)))
    if typing.get_origin(option) is tuple:
        kinds = typing.get_args(option)
        return f"{'several' if kinds[-1] is Ellipsis else len(kinds)} times {_word(kinds[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", types.NoneType: "none"}
    return words.get(option, str(option))
