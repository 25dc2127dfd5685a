"""Tables as Markdown and as JSON."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from benchmarks.timing import Row, Spread, short


def markdown(rows: list[Row]) -> str:
    """A table; "-" is what was not measured."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def as_json(results: dict[str, Any]) -> str:
    """Everything, spreads as {"median", "lower", "upper"}."""
    return json.dumps(results, indent=2, default=_plain, allow_nan=False)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return short(value)
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Spread):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is nothing for a table")
