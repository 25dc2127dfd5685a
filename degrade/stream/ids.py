"""Ids made on demand, and the fingerprint of a source's ids in the state of a stream."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, overload

from degrade.rng import keyed

LARGEST_LISTED = 2**26
"""Largest number of ids that are looked at one by one; more would take minutes and tens of gigabytes."""

_LARGEST_HASHED = 2**20
_SHOWN = 20


class Numbered(Sequence[str]):
    """Ids that are a prefix and a number, such as "fundus_0003": as a list of them, without the memory.

    Args:
        prefix: before the number.
        width: digits of the number at least.
        numbers: which.

    >>> Numbered("fundus_", 4, range(10**9))[-1], "fundus_0007" in Numbered("fundus_", 4, range(8))
    ('fundus_999999999', True)
    """

    def __init__(self, prefix: str, width: int, numbers: range) -> None:
        self._prefix, self._width, self._numbers = prefix, width, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Numbered: ...
    def __getitem__(self, index: int | slice) -> str | Numbered:
        if isinstance(index, slice):
            return Numbered(self._prefix, self._width, self._numbers[index])
        return f"{self._prefix}{self._numbers[index]:0{self._width}d}"

    def __contains__(self, id_: object) -> bool:
        return self._number(id_) in self._numbers

    def index(self, id_: Any, start: int = 0, stop: int | None = None) -> int:
        """The place of an id; ValueError where it has none."""
        if id_ not in self:
            raise ValueError(f"{id_!r} is not in these ids")
        return self._numbers.index(self._number(id_))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Numbered):
            return self.template == other.template
        return (
            isinstance(other, list)
            and len(other) == len(self)
            and all(a == b for a, b in zip(self, other, strict=True))
        )

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        if len(self) <= _SHOWN:
            return repr(list(self))
        return f"[{self[0]!r}, {self[1]!r}, ..., {self[-1]!r}]"

    @property
    def template(self) -> str:
        """A text that only sequences of the same ids have."""
        return f"{self._prefix}{{:0{self._width}d}} {self._numbers}"

    def _number(self, id_: object) -> int:
        """The number of an id written exactly as here; -1 for anything else."""
        digits = id_.removeprefix(self._prefix) if isinstance(id_, str) and id_.startswith(self._prefix) else ""
        if not (digits.isascii() and digits.isdecimal()) or len(digits) > 20:
            return -1
        number = int(digits)
        return number if f"{number:0{self._width}d}" == digits else -1


def fingerprint(ids: Sequence[str]) -> int:
    """Hash of ids in their order; of more than a million numbered ids, of their pattern."""
    if isinstance(ids, Numbered) and len(ids) > _LARGEST_HASHED:
        return keyed.string_id(ids.template)
    return keyed.string_id("\n".join(ids))


def _place(ids: Numbered, id_: str) -> int | None:
    return ids.index(id_) if id_ in ids else None


def finder(ids: Sequence[str]) -> Callable[[str], int | None]:
    """A function from an id to its index, or None where it has none."""
    if isinstance(ids, Numbered):
        return partial(_place, ids)  # unlike a lambda it goes to other processes
    return {id_: place for place, id_ in enumerate(ids)}.get
