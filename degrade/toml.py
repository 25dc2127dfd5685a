"""Write TOML with comments (`degrade.text` reads it): recipes, the notes of a data set, run.toml.

One writer on tomlkit for all of them, so that quoting and escaping are decided in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import tomlkit
from tomlkit.container import Container
from tomlkit.items import Item, String, StringType, Table, Trivia

Entry = tuple[str, Any, str]
"""Key, value, and the comment above it; "" for none."""


def commented(entries: Iterable[Entry], header: str = "") -> str:
    """A TOML document whose keys have comments: above each commented key a blank line and its comment.

    Args:
        entries: key, value and comment. A comment of several lines becomes several comments.
        header: comment at the top; "" for none.

    Raises:
        TypeError: a value that TOML has no type for.

    >>> print(commented([("recipe", "x-bdcnn", ""), ("eta", (0.4, 1.9), "[photons] gain")], "Yin et al."), end="")
    # Yin et al.
    recipe = "x-bdcnn"
    <BLANKLINE>
    # [photons] gain
    eta = [0.4, 1.9]
    """
    document = tomlkit.document()
    _comment(document, header)
    for number, (name, value, comment) in enumerate(entries):
        if comment and (number or header):
            document.add(tomlkit.nl())
        _comment(document, comment)
        document.add(name, item(value))
    return tomlkit.dumps(document)


def write(values: Mapping[str, Any], comments: Mapping[str, str] | None = None) -> str:
    """A mapping as TOML: plain values first, then a table for each mapping in it, after a blank line.

    Args:
        values: by key; a mapping becomes a table.
        comments: by key, for the line above it; of a key in a table by "table.key".

    Raises:
        TypeError: a value that TOML has no type for.

    >>> print(write({"workers": 2, "config": {"crop": None, "size": (64, 96)}}, {"config.size": "pixels"}), end="")
    workers = 2
    <BLANKLINE>
    [config]
    crop = "none"
    # pixels
    size = [64, 96]
    """
    document = tomlkit.document()
    _fill(document, values, comments or {}, "")
    return tomlkit.dumps(document)


def item(value: Any) -> Item:
    """A value as TOML has it: true, 1.5, "text", [0.5, 1.2]. None, for which TOML has no word, becomes "none".

    Text of several lines is written over several lines; a table for each mapping.
    """
    if value is None:
        return item("none")
    if isinstance(value, (list, tuple)):
        array = tomlkit.array()
        array.extend([item(part) for part in value])
        return array
    if isinstance(value, Mapping):
        table = tomlkit.table()
        _fill(table, value, {}, "")
        return table
    if isinstance(value, str) and "\n" in value and "\r" not in value:
        escaped = tomlkit.string(value.lstrip("\n"), multiline=True).as_string()[3:-3]
        blank = len(value) - len(value.lstrip("\n"))  # and one line break more, which TOML drops
        return String(StringType.MLB, value, "\n" * (1 + blank) + escaped, Trivia())
    try:
        made: Item = tomlkit.item(value)
        return made
    except ValueError as error:  # tomlkit's: one that is a TypeError
        raise TypeError(f"a {type(value).__name__} cannot be written as TOML: {value!r}") from error


def _fill(container: Container | Table, values: Mapping[str, Any], comments: Mapping[str, str], prefix: str) -> None:
    plain = {name: value for name, value in values.items() if not isinstance(value, Mapping)}
    for name, value in plain.items():
        _comment(container, comments.get(prefix + name, ""))
        container.add(name, item(value))
    for name, value in values.items():
        if isinstance(value, Mapping):
            table = tomlkit.table()
            _fill(table, value, comments, f"{prefix}{name}.")
            if isinstance(container, Container) and container.body:
                container.add(tomlkit.nl())
            _comment(container, comments.get(prefix + name, ""))
            container.add(name, table)


def _comment(container: Container | Table, text: str) -> None:
    for line in text.splitlines():
        container.add(tomlkit.comment(line))
