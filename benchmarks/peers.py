"""The other libraries that are timed beside ours, where they are installed: pip install degrade-enhance[peers]."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from types import ModuleType
from typing import Any

PEERS = ("kornia", "torchvision", "albumentations", "deepinv", "cv2")

Call = Callable[[], object]
Make = Callable[[], Call]


class Absent(Exception):
    """A library that cannot be used here; the text says why."""


@functools.cache
def load(name: str) -> ModuleType:
    """The library.

    Raises:
        Absent: it is not installed, or it does not get along with what is.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # else importing it asks the network for news
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        wanted = error.name or name
        raise Absent("not installed" if wanted == name else f"not installed: needs {wanted}") from None
    except Exception as error:
        raise Absent(f"cannot be imported: {_first_line(error)}") from None


def state(name: str) -> str:
    """The library's version, or why there is none."""
    try:
        module = load(name)
    except Absent as absent:
        return str(absent)
    return str(getattr(module, "__version__", None) or version(name))


def tried(make: Make) -> Make:
    """For what may fail here for reasons that are not ours, so that they are told in the table and end no run."""

    def trial() -> Call:
        try:
            call = make()
            call()
        except Absent:
            raise
        except Exception as error:
            raise Absent(f"fails: {_first_line(error)}") from error
        return call

    return trial


def ready(candidates: Mapping[str, Make]) -> tuple[dict[str, Call], dict[str, str]]:
    """Makes the calls to time and calls each once.

    Args:
        candidates: names to functions that load a library and return the call.

    Returns:
        the calls that work, and for those that are absent the reason.
    """
    calls: dict[str, Call] = {}
    reasons: dict[str, str] = {}
    for name, make in candidates.items():
        try:
            call = make()
            call()
        except Absent as absent:
            reasons[name] = str(absent)
        else:
            calls[name] = call
    return calls, reasons


def ratio(ours: Any, other: Any) -> float | None:
    """The ratio of two medians; None where one was not measured."""
    return None if ours is None or other is None else ours.median / other.median


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
