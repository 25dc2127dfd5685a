"""Checks of arguments that are whole numbers: of Python, NumPy or torch, or floats without a fraction."""

from __future__ import annotations

import operator
from typing import Any


def whole(name: str, value: Any, least: int | None = None) -> int:
    """Convert an argument to an int.

    Args:
        name: of the argument, for the message.
        value: an int, a NumPy or torch integer, or a float without a fraction, such as 4e9.
        least: the smallest that is allowed.

    Raises:
        ValueError: it is something else, or too small.

    >>> whole("cache_bytes", 4e9)
    4000000000
    >>> whole("workers", 1.5)
    Traceback (most recent call last):
    ValueError: workers = 1.5: a whole number is needed
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = _without_fraction(name, value)
    if least is not None and number < least:
        raise ValueError(f"{name} = {number}: at least {least}")
    return number


def _without_fraction(name: str, value: Any) -> int:
    try:
        if not isinstance(value, str) and float(value) == (number := int(value)):
            return number
    except (TypeError, ValueError, OverflowError, RuntimeError):  # NaN, infinity, arrays of several
        pass
    raise ValueError(f"{name} = {value!r}: a whole number is needed")
