"""What the stream tests share: an epoch as a table from id to everything known of the sample."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from degrade.stream import Batch

Row = dict[str, Any]


def rows(batches: Iterable[Batch]) -> list[tuple[str, Row]]:
    """(id, everything of the sample) in the order of the epoch."""
    return [
        (
            id_,
            {
                "clean": batch.clean[number],
                "degraded": batch.degraded[number],
                "mask": batch.mask[number],
                "keys": batch.keys[number],
                **{f"map {name}": extra[number] for name, extra in batch.maps.items()},
                **{f"parameter {name}": value[number] for name, value in batch.parameters.items()},
            },
        )
        for batch in batches
        for number, id_ in enumerate(batch.ids)
    ]


def equal(one: Row, other: Row) -> bool:
    """Whether two samples are the same to the bit."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


def same_tables(one: dict[str, Row], other: dict[str, Row]) -> bool:
    """Whether two epochs have the same samples, in whatever order."""
    return one.keys() == other.keys() and all(equal(row, other[id_]) for id_, row in one.items())
