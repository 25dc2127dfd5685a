"""Split images into those to train on, to validate on and to test with: by shares, or by lists of ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from degrade.stream import Source, SourceError
from degrade.text import read_text, shown
from enhance.holdout import GROUP, Rule, hold_out
from enhance.trainers.base import Sources

_NAMED = 10


@dataclass(frozen=True)
class Parts:
    """The three parts of a run's images; None for an empty one."""

    train: Sources
    validate: Sources | None
    test: Sources | None


def read_shares(text: str) -> tuple[float, float, float]:
    """The shares of "7:2:1": train, validate, test.

    Raises:
        ValueError: not three numbers from 0, the first and one of the others above 0.

    >>> read_shares("7:2:1")
    (7.0, 2.0, 1.0)
    """
    try:
        train, validate, test = (float(part) for part in text.split(":"))
    except ValueError:
        train = validate = test = -1.0
    if not (0 < train < 1e9 and 0 <= validate < 1e9 and 0 <= test < 1e9 and validate + test > 0):
        raise ValueError(f"{text!r}: allowed are three numbers TRAIN:VALIDATE:TEST, such as 7:2:1")
    return train, validate, test


def by_shares(sources: Sources, shares: tuple[float, float, float], seed: int = 0, group: Rule = GROUP) -> Parts:
    """Split by shares; images of a patient or sequence stay together. It follows from the seed and the ids alone.

    Args:
        sources: all images.
        shares: of train, validate and test, as from `read_shares`.
        seed, group: as of `enhance.holdout.split`.

    Raises:
        ValueError: the images are too few for these shares.

    >>> from degrade.stream import open_source
    >>> parts = by_shares(Sources(open_source("phantom:chest?count=10&size=32")), (7, 2, 1))
    >>> len(parts.train.high), len(parts.validate.high), len(parts.test.high)
    (7, 2, 1)
    """
    train, validate, test = shares
    rest, tested = hold_out(sources, test / sum(shares), seed, group) if test else (sources, None)
    on, validated = hold_out(rest, validate / (train + validate), seed, group) if validate else (rest, None)
    return Parts(on, validated, tested)


def by_ids(
    sources: Sources,
    train: Sequence[str] | None = None,
    validate: Sequence[str] | None = None,
    test: Sequence[str] | None = None,
) -> Parts:
    """Split by lists of ids; those of both sources of unpaired training may be in one list.

    Args:
        sources: all images.
        train: ids to train on; None takes all others.
        validate, test: ids of these parts; None leaves them empty.

    Raises:
        ValueError: an id that is in two lists, or of no image; or nothing to train on. The message names the list.
    """
    lists = {"train": train, "validate": validate, "test": test}
    chosen = {name: dict.fromkeys(ids) for name, ids in lists.items() if ids is not None}
    known = {id_ for source in (sources.high, sources.low) if source is not None for id_ in source.ids}
    for name, ids in chosen.items():
        if missing := [id_ for id_ in ids if id_ not in known]:
            raise ValueError(f"{name}: {len(missing)} ids of no image: {_names(missing)}")
        for other, others in chosen.items():
            if name < other and (both := [id_ for id_ in ids if id_ in others]):
                raise ValueError(f"{name} and {other} have {len(both)} ids in common: {_names(both)}")
    taken = {id_ for name, ids in chosen.items() if name != "train" for id_ in ids}
    on = _part(sources, {id_ for id_ in known if id_ not in taken} if train is None else set(chosen["train"]))
    if on is None or (sources.low is not None and on.low is None):
        raise ValueError("train: there is nothing to train on")
    sides = {name: _part(sources, set(chosen.get(name, ()))) for name in ("validate", "test")}
    return Parts(on, sides["validate"], sides["test"])


def read_id_list(path: str | os.PathLike[str]) -> list[str]:
    """The ids in a text file, one on a line; empty lines and those that begin with # are passed over.

    Raises:
        OSError: it cannot be read.
        TextError: it is no text.
    """
    lines = (line.strip() for line in read_text(path).splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _part(sources: Sources, ids: set[str]) -> Sources | None:
    high, low = _subset(sources.high, ids), None if sources.low is None else _subset(sources.low, ids)
    return None if high is None else replace(sources, high=high, low=low)


def _subset(source: Source, ids: set[str]) -> Source | None:
    try:
        return source.subset(ids)
    except SourceError:
        return None


def _names(ids: Sequence[str]) -> str:
    return ", ".join(map(shown, ids[:_NAMED])) + (", ..." if len(ids) > _NAMED else "")
