"""What the host does: what it waits for, what it copies to the pretend device, how many operations it starts."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass
class Watch:
    """What a stretch of code made the host do.

    Attributes:
        waits: what it waited for, and from which line of the project.
        copies: what it copied to the device, likewise.
        operations: how many it started there, views and convolutions apart.
    """

    waits: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    operations: int = 0


_ROOT = Path(__file__).parents[2]
_PACKAGES = tuple(f"{_ROOT / package}/" for package in ("degrade", "enhance"))
_OWN = {str(path) for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("test_")}

_watches: list[Watch] = []


@contextmanager
def watched() -> Iterator[Watch]:
    """Note the waits and copies of a block."""
    watch = Watch()
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


def note(kind: Literal["waits", "copies"], what: str) -> None:
    """Note a wait or a copy, and where it came from, in all watches."""
    if _watches:
        here = [frame for frame in traceback.extract_stack() if frame.filename not in _OWN]
        ours = [frame for frame in here if frame.filename.startswith(_PACKAGES)]
        place = (ours or here)[-1]
        for watch in _watches:
            getattr(watch, kind).append(f"{what} at {place.filename.removeprefix(f'{_ROOT}/')}:{place.lineno}")


def count_operation() -> None:
    """Count an operation that is started on the device."""
    for watch in _watches:
        watch.operations += 1
