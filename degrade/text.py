"""Text from outside: bounded reading of JSON, TOML and lists, checked against a schema.

Every recipe, manifest line, parameter file, list and metadata that a user or a stranger may have written goes through
here. Nothing else is raised than `TextError` (and OSError where a file cannot be opened).
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

LARGEST_FILE = 16 << 20
"""Bytes that a text file may have."""
LARGEST_LINE = 4 << 20
"""Bytes that a line of JSON may have."""
DEEPEST = 32
"""Levels of lists and tables within one another."""
_LONGEST_NUMBER = 64
"""Digits of a number: more than any float64 or int64 needs."""
_SHOWN = 60


class TextError(ValueError):
    """Text that cannot be used. The message is one line that names the place in it, and the reason."""


def read_text(path: str | os.PathLike[str], most: int = LARGEST_FILE) -> str:
    """The UTF-8 text of a file, without a byte order mark.

    Raises:
        OSError: the file cannot be read.
        TextError: it has more than `most` bytes, is not UTF-8, holds a NUL, or is not a regular file.
    """
    file = Path(path)
    if file.exists() and not file.is_file() and not file.is_dir():
        raise TextError("not a regular file")
    with open(file, "rb") as opened:
        data = opened.read(most + 1)
    if len(data) > most:
        raise TextError(f"more than {most:,} bytes, which no such file has")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(f"line {_line(data, error.start)}: not UTF-8 text ({error.reason})") from None
    if "\0" in text:
        raise TextError(f"line {text[: text.index(chr(0))].count(chr(10)) + 1}: a NUL character")
    return text


@overload
def parse_json(text: str | bytes, kind: type[T]) -> T: ...
@overload
def parse_json(text: str | bytes, kind: None = None) -> Any: ...
def parse_json(text: str | bytes, kind: Any = None) -> Any:
    """JSON as a value of a type: a `msgspec.Struct`, `dict[str, float]`, ...; without one, whatever it is.

    NaN and infinities, which JSON has no words for, are refused, as are numbers beyond float64 and int64.

    Raises:
        TextError: naming the line, or the field as in "$.parameters.brightness".

    >>> class Line(msgspec.Struct):
    ...     view: int
    >>> parse_json('{"view": 1}', Line)
    Line(view=1)
    >>> parse_json('{"view": "b"}', Line)
    Traceback (most recent call last):
    degrade.text.TextError: $.view: expected `int`, got `str`
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > LARGEST_FILE:
        raise TextError(f"more than {LARGEST_FILE:,} bytes")
    _check_depth(data)
    try:
        value = json.loads(data, parse_int=_whole, parse_float=_real, parse_constant=_no_number)
    except TextError:
        raise
    except UnicodeDecodeError as error:
        raise TextError(f"line {_line(data, error.start)}: not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise TextError(f"no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise TextError(f"no JSON: {_first_line(error)}") from None
    if b"\\ud" in data or b"\\uD" in data:
        _check_surrogates(value)
    return value if kind is None else convert(value, kind)


@overload
def parse_toml(text: str, kind: type[T]) -> T: ...
@overload
def parse_toml(text: str, kind: None = None) -> dict[str, Any]: ...
def parse_toml(text: str, kind: Any = None) -> Any:
    """TOML as a value of a type, as `parse_json`.

    Raises:
        TextError: naming the line and the field.

    >>> class Run(msgspec.Struct):
    ...     seed: int
    >>> parse_toml("# a run\\nseed = 'x'", Run)
    Traceback (most recent call last):
    degrade.text.TextError: line 2: $.seed: expected `int`, got `str`
    """
    data = text.encode("utf-8", "surrogatepass")
    if len(data) > LARGEST_FILE:
        raise TextError(f"more than {LARGEST_FILE:,} bytes")
    if long := re.search(r"^.{4096}", text, re.MULTILINE):
        raise TextError(f"line {text[: long.start()].count(chr(10)) + 1}: longer than 4,096 characters")
    _check_depth(data)
    try:
        value = tomllib.loads(text, parse_float=_real)
    except TextError:
        raise
    except (ValueError, RecursionError, MemoryError) as error:
        raise TextError(f"no TOML: {_first_line(error)}") from None
    _check_value(value)
    if kind is None:
        return value
    try:
        return convert(value, kind)
    except TextError as error:
        raise TextError(f"{line_of(text, str(error))}{error}") from None


def convert(value: Any, kind: type[T]) -> T:
    """A value of JSON or TOML as a type; TextError names the field."""
    try:
        return msgspec.convert(value, kind, str_keys=True)
    except msgspec.ValidationError as error:
        reason, _, place = str(error).partition(" - at ")
        reason = reason[:1].lower() + reason[1:]
        raise TextError(f"{place.strip('`')}: {reason}" if place else reason) from None
    except (ValueError, OverflowError, RecursionError) as error:
        raise TextError(_first_line(error)) from None


def line_of(text: str, place: str) -> str:
    """ "line N: " for the field that "$.table.name" names in a TOML text; "" where it cannot be found."""
    match = re.match(r"\$((?:\.[\w-]+)+)", place)
    if match is None:
        return ""
    name = re.escape(match[1].rsplit(".", 1)[-1])
    found = re.search(rf"^\s*[\"']?{name}[\"']?\s*=", text, re.MULTILINE)
    return f"line {text[: found.end()].count(chr(10)) + 1}: " if found else ""


def shown(value: Any) -> str:
    """A value for an error message: at most 60 characters of its repr, on one line.

    >>> shown("a" * 100)[-12:]
    "aaaaaaaa...'"
    """
    try:
        text = repr(value)
    except ValueError:  # an int of thousands of digits has no repr
        return "a number of thousands of digits"
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 4]}...{text[-1]}"


def _check_depth(data: bytes) -> None:
    """TextError where brackets, or the parts of dotted names, lie more than `DEEPEST` within one another."""
    if max(data.count(b"["), data.count(b"{"), data.count(b".")) <= DEEPEST:
        return
    depth = 0
    for match in re.finditer(rb'"(?:\\.|[^"\\\n])*"?|[\[\]{}]', data):
        token = match[0]
        if token in (b"[", b"{"):
            depth += 1
            if depth > DEEPEST:
                raise TextError(f"line {_line(data, match.start())}: more than {DEEPEST} levels within one another")
        elif token in (b"]", b"}"):
            depth -= 1
    if re.search(rb"(?:^|[\[{,])\s*(?:[\w\"'-]+\s*\.\s*){%d}" % DEEPEST, data, re.MULTILINE):
        raise TextError(f"more than {DEEPEST} levels within one another")


def _check_value(value: Any) -> None:
    """TextError for whole numbers of TOML that no int64 holds."""
    if isinstance(value, dict):
        for part in value.values():
            _check_value(part)
    elif isinstance(value, list):
        for part in value:
            _check_value(part)
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise TextError(f"a number of {len(hex(value)) - 2} hexadecimal digits, beyond 64 bits")


def _check_surrogates(value: Any) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise TextError("half of a surrogate pair, which is no character") from None


def _whole(text: str) -> int:
    if len(text) <= _LONGEST_NUMBER and -(2**63) <= (number := int(text)) < 2**63:
        return number
    raise TextError(f"the number {text[:20]}... is beyond 64 bits" if len(text) > 20 else f"{text} is beyond 64 bits")


def _real(text: str) -> float:
    number = float(text) if len(text) <= 4096 else float("inf")
    if abs(number) == float("inf") or number != number:
        raise TextError(f"{text[:40]} is no finite number")
    return number


def _no_number(text: str) -> float:
    raise TextError(f"{text} is no number of JSON")


def _line(data: bytes, place: int) -> int:
    return data[:place].count(b"\n") + 1


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
