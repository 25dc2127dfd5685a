"""Table of numbers by method, metric and image: text, and a row per image and method for CSV."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from enhance.cases import Failed

LOWER_IS_BETTER = frozenset({"PIQE", "NIQE", "FDR", "ms"})
"""Metrics of which less is better; of all others more is."""


@dataclass
class Table:
    """Table of numbers by method, metric and image; every row is of the same images.

    Attributes:
        values: by method and metric, in the order of `ids`; NaN for images that have no such number.
        ids: of the images in every row.
        failed: images in no row, with the reason.
        groups: what each image is broken down by, such as {"type": "011"}, in the order of `ids`.
    """

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    failed: Failed = field(default_factory=dict)
    groups: list[Mapping[str, str]] = field(default_factory=list)

    def add(self, id_: str, rows: Mapping[str, Mapping[str, float]], groups: Mapping[str, str] | None = None) -> None:
        """Add an image: its numbers by method and metric."""
        for method, numbers in rows.items():
            columns = self.values.setdefault(method, {})
            for name in {**columns, **numbers}:
                columns.setdefault(name, [math.nan] * len(self.ids)).append(numbers.get(name, math.nan))
        self.ids.append(id_)
        self.groups.append(groups or {})

    def by(self, name: str) -> dict[str, Table]:
        """A table for each group of that name, in the order of the groups; images without one are in none."""
        found: dict[str, Table] = {}
        for group in sorted({one[name] for one in self.groups if name in one}):
            places = [place for place, one in enumerate(self.groups) if one.get(name) == group]
            values = {
                method: {metric: [numbers[place] for place in places] for metric, numbers in columns.items()}
                for method, columns in self.values.items()
            }
            found[group] = Table(values, [self.ids[place] for place in places])
        return found

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Mean and standard deviation by method and metric, without images whose number is NaN."""
        return {
            method: {name: _summary(numbers) for name, numbers in columns.items()}
            for method, columns in self.values.items()
        }

    def text(self) -> str:
        """The table as text, a row for each method: number of images, mean ± standard deviation of each metric.

        Arrows say which way a metric is good. A cell with fewer images than its row shows their number: "30.1 ± 2 (5)".
        """
        summary = self.summary()
        names = list(dict.fromkeys(name for columns in summary.values() for name in columns))
        rows = [["", "images", *(f"{name}{_arrow(name)}" for name in names)]]
        for method, columns in summary.items():
            rows.append([method, str(len(self.ids)), *(self._cell(columns.get(name)) for name in names)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)

    def to_csv(self) -> str:
        """CSV: image, groups, method, metrics; a row per image and method. Empty cells have no number.

        >>> table = Table()
        >>> table.add("a", {"clahe": {"PSNR": 20.5}})
        >>> table.to_csv().splitlines()
        ['image,method,PSNR', 'a,clahe,20.5']
        """
        metrics = list(dict.fromkeys(name for columns in self.values.values() for name in columns))
        grouped = sorted({name for one in self.groups for name in one})
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", *grouped, "method", *metrics])
        for place, id_ in enumerate(self.ids):
            groups = [self.groups[place].get(name, "") for name in grouped]
            for method, columns in self.values.items():
                numbers = [columns[name][place] if name in columns else math.nan for name in metrics]
                writer.writerow([id_, *groups, method, *("" if math.isnan(x) else repr(x) for x in numbers)])
        return file.getvalue()

    def _cell(self, numbers: Mapping[str, float] | None) -> str:
        if numbers is None:
            return ""
        few = "" if numbers["images"] == len(self.ids) else f" ({numbers['images']:.0f})"
        spread = f" ± {numbers['std']:.2g}" if numbers["images"] > 1 else ""
        return f"{numbers['mean']:.4g}{spread}{few}"


def _arrow(metric: str) -> str:
    """Which way a metric is good; of "cup Dice" that of Dice."""
    return " ↓" if metric.split()[-1] in LOWER_IS_BETTER else " ↑"


def _summary(numbers: list[float]) -> dict[str, float]:
    known = [number for number in numbers if math.isfinite(number)]
    return {
        "mean": statistics.fmean(known) if known else math.nan,
        "std": statistics.stdev(known) if len(known) > 1 else 0.0,
        "images": len(known),
    }
