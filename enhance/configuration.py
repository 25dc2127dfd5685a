"""Configurations of trainers: fields by name, from Python, a command line or a file, each checked by its type."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Union

from degrade.settings import closest

if TYPE_CHECKING:
    from enhance.trainers.base import Config

C = TypeVar("C", bound="Config")


def read_config(kind: type[C], given: Mapping[str, Any]) -> C:
    """A configuration from some of its fields; the others keep their defaults.

    Args:
        kind: the class of the configuration.
        given: values, or their text: "0.5", "true", "none", "64,128".

    Raises:
        ValueError: an unknown field, or a value that its type does not allow.

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
        if name not in names:
            raise ValueError(f"unknown field {name!r}{closest(name, names)}")
    return kind(**{name: _read(name, value, hints[name]) for name, value in given.items()})


def plain(config: Config) -> dict[str, Any]:
    """The fields as JSON and TOML hold them: a tuple is a list; None stays."""
    values = dataclasses.asdict(config)
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _read(name: str, value: Any, hint: Any) -> Any:
    union = typing.get_origin(hint) in (Union, types.UnionType)
    options = list(typing.get_args(hint)) if union else [hint]
    for option in sorted(options, key=lambda option: option is str):  # words last, since any text is one
        parsed = _parse(value) if isinstance(value, str) and option is not str else value
        try:
            return _check(parsed, option)
        except (TypeError, ValueError):
            continue
    raise ValueError(f"{name} = {value!r}: allowed is {' or '.join(map(_word, options))}")


def _parse(text: str) -> Any:
    """What a text stands for: none, true, false, a number, several with commas between them; else the text."""
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
    """The value as one type of a hint has it; TypeError or ValueError if it is none."""
    if typing.get_origin(option) is Literal:
        fits = any(value == word and type(value) is type(word) for word in typing.get_args(option))
    elif typing.get_origin(option) is tuple:
        kinds = typing.get_args(option)
        if kinds[-1] is Ellipsis:
            kinds = (kinds[0],) * len(value)
        return tuple(_check(part, kind) for part, kind in zip(value, kinds, strict=True))
    elif option is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        value = float(value) if fits else value
    else:
        fits = isinstance(value, option) and (option is bool or not isinstance(value, bool))
    if not fits:
        raise ValueError
    return value


def _word(option: Any) -> str:
    """A type in words."""
    if typing.get_origin(option) is Literal:
        return " or ".join(map(repr, typing.get_args(option)))
    if typing.get_origin(option) is tuple:
        kinds = typing.get_args(option)
        return f"{'several' if kinds[-1] is Ellipsis else len(kinds)} times {_word(kinds[0])}"
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", types.NoneType: "none"}
    return words.get(option, str(option))
