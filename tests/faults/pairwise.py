"""A selection of combinations in which every pair of values of two factors comes once."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from typing import Any


def pairwise(factors: Mapping[str, Sequence[Any]], seed: int) -> list[dict[str, Any]]:
    """Few combinations that cover all pairs of values.

    >>> chosen = pairwise({"a": [1, 2, 3], "b": "xy", "c": [True, False]}, seed=0)
    >>> {(row["a"], row["b"]) for row in chosen} == {(a, b) for a in (1, 2, 3) for b in "xy"}
    True
    >>> len(chosen) < 12
    True
    """
    rng = random.Random(seed)
    names = list(factors)
    rows = [dict(zip(names, values, strict=True)) for values in itertools.product(*factors.values())]
    rng.shuffle(rows)
    missing = {pair for row in rows for pair in _pairs(row)}
    chosen = []
    while missing:
        best = max(rows, key=lambda row: len(missing & _pairs(row)))
        missing -= _pairs(best)
        chosen.append(best)
    return chosen


def _pairs(row: Mapping[str, Any]) -> set[tuple[tuple[str, Any], tuple[str, Any]]]:
    return set(itertools.combinations(row.items(), 2))
