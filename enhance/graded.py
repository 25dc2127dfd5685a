"""Quality by stage and severity of a degradation, of a method and of what it is compared with, on the same pictures."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from degrade.severity import LEVELS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Graded:
    """Means of a metric.

    Attributes:
        metric: its name.
        method, reference: names of the two.
        values: by stage, for each of the five levels (mean of the method, mean of the reference).
        images: number of images of every mean.
    """

    metric: str
    method: str
    reference: str
    images: int
    values: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def gain(self) -> float:
        """Mean of the method less that of the reference, over all stages and levels."""
        return statistics.fmean(ours - theirs for row in self.values.values() for ours, theirs in row)

    def text(self) -> str:
        """A row per stage, a column per level: the method's mean, and by how much it differs from the reference's.

        >>> print(Graded("PSNR", "clahe", "identity", 3, {"blur": [(20.0, 18.0)] * 5}).text().splitlines()[1])
        blur  20.00 (+2.00)  20.00 (+2.00)  20.00 (+2.00)  20.00 (+2.00)  20.00 (+2.00)
        """
        rows = [["", *(f"severity {level}" for level in LEVELS)]]
        for stage, row in self.values.items():
            rows.append([stage, *(f"{ours:.2f} ({ours - theirs:+.2f})" for ours, theirs in row)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)

    def to_record(self) -> dict[str, object]:
        """For JSON."""
        return {
            "metric": self.metric,
            "method": self.method,
            "reference": self.reference,
            "images": self.images,
            "gain": self.gain(),
            "stages": {
                stage: [
                    {"severity": level, "method": ours, "reference": theirs}
                    for level, (ours, theirs) in zip(LEVELS, row, strict=True)
                ]
                for stage, row in self.values.items()
            },
        }

    def plot(self, title: str) -> Figure:
        """A panel per stage, the method's line and the reference's; ModuleNotFoundError without Matplotlib."""
        from degrade import figures

        figure = figures.new_figure(90 + 310 * len(self.values), 430)
        panels = figure.subplots(1, len(self.values), sharey=True, squeeze=False)[0]
        for axes, (stage, row) in zip(panels, self.values.items(), strict=True):
            figures.style(axes, "severity", self.metric if axes is panels[0] else "")
            axes.plot(LEVELS, [ours for ours, _ in row], color=figures.LINE, marker="o", label=self.method)
            reference = [theirs for _, theirs in row]
            axes.plot(LEVELS, reference, color=figures.FAINT, marker="o", linestyle="--", label=self.reference)
            axes.set_title(stage, fontsize=13, color=figures.INK)
            axes.set_xticks(LEVELS)
        panels[-1].legend(fontsize=11, frameon=False)
        figure.suptitle(title, x=0.02, ha="left", fontsize=14, color=figures.INK)
        return figure


def means(
    values: Mapping[str, Mapping[str, Iterable[float]]], names: tuple[str, str], metric: str
) -> tuple[float, float]:
    """The means of a metric of two rows of a table."""
    first, second = (statistics.fmean(values[name][metric]) for name in names)
    return first, second
