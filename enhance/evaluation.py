"""Measure degraded and enhanced images with every metric that applies, and make a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from degrade.images import image_io
from enhance import metrics
from enhance.cases import (
    DEGRADED,
    UNUSABLE,
    Case,
    Failed,
    fail,
    field_of_view,
    paired_cases,
    real_cases,
    synthetic_cases,
)
from enhance.inference import Enhancer, enhance_image

__all__ = [
    "DEGRADED",
    "Case",
    "Segment",
    "Table",
    "evaluate",
    "field_of_view",
    "measure",
    "paired_cases",
    "real_cases",
    "synthetic_cases",
]

Segment = Callable[[Tensor, Tensor], Tensor]
"""Function of images (B, C, H, W) in [0, 1] and masks (B, 1, H, W) to vessel probabilities (B, 1, H, W)."""


@dataclass
class Table:
    """Table of numbers by method, metric and image; every row is of the same images.

    Attributes:
        values: by method and metric, in the order of `ids`, without images that have no such number.
        ids: of the images in every row.
        failed: images in no row, with the reason.
    """

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    failed: Failed = field(default_factory=dict)

    def add(self, method: str, numbers: Mapping[str, float]) -> None:
        """Add the numbers of one image."""
        for name, number in numbers.items():
            self.values.setdefault(method, {}).setdefault(name, []).append(number)

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Mean and standard deviation by method and metric, without images whose number is NaN."""
        return {
            method: {name: _summary(numbers) for name, numbers in columns.items()}
            for method, columns in self.values.items()
        }

    def text(self) -> str:
        """The table as text, a row for each method: number of images, mean ± standard deviation of each metric.

        A cell with fewer images than its row shows their number: "30.1 ± 2 (5)".
        """
        summary = self.summary()
        names = list(dict.fromkeys(name for columns in summary.values() for name in columns))
        rows = [["", "images", *names]]
        for method, columns in summary.items():
            rows.append([method, str(len(self.ids)), *(self._cell(columns.get(name)) for name in names)])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)

    def _cell(self, numbers: Mapping[str, float] | None) -> str:
        if numbers is None:
            return ""
        few = "" if numbers["images"] == len(self.ids) else f" ({numbers['images']:.0f})"
        return f"{numbers['mean']:.4g} ± {numbers['std']:.2g}{few}"


def evaluate(
    enhancers: Mapping[str, Enhancer],
    cases: Iterable[Case],
    *,
    niqe_model: metrics.NiqeModel | None = None,
    segment: Segment | None = None,
    device: str | torch.device = "cpu",
    tile: int | None = None,
    look: Callable[[Case, dict[str, Tensor]], object] | None = None,
    failed: Failed | None = None,
) -> Table:
    """Measure degraded images, and enhanced ones of each method.

    Enhanced images are rounded to 8 bits before, as when they are saved to a file.

    Args:
        enhancers: by name of the row; networks on `device`, in eval mode.
        cases: from `synthetic_cases` or `real_cases`.
        niqe_model: adds NIQE.
        segment: adds IoU, Dice and AUC of vessels where a case has them.
        device: of the computation.
        tile: see `enhance.inference.enhance_image`.
        look: called with each case and its enhanced images by method.
        failed: images on which a method or a metric fails are added to it and left out of all rows; pass the same dict
            to the cases. Without it the first one raises.
    """
    table = Table(failed={} if failed is None else failed)
    for case in cases:
        try:
            made = _made(enhancers, case, device, tile)
            rows = {name: measure(image.to(device), case, niqe_model, segment) for name, image in made.items()}
        except UNUSABLE as error:
            fail(failed, case.id, error)
            continue
        for name, numbers in rows.items():
            table.add(name, numbers)
        table.ids.append(case.id)
        if look is not None:
            look(case, made)
    return table


def _made(
    enhancers: Mapping[str, Enhancer], case: Case, device: str | torch.device, tile: int | None
) -> dict[str, Tensor]:
    """The degraded image, and the enhanced ones by method."""
    made = {DEGRADED: case.image}
    for name, enhancer in enhancers.items():
        mask = case.mask[None].to(device)
        enhanced = enhance_image(enhancer, case.image, field_of_view=mask, device=device, tile=tile)
        made[name] = image_io.to_float(image_io.to_integer(enhanced))
    return made


def measure(
    image: Tensor, case: Case, niqe_model: metrics.NiqeModel | None = None, segment: Segment | None = None
) -> dict[str, float]:
    """Every metric that applies to one image (C, H, W), within the field of view."""
    batch, mask = image[None], case.mask[None].to(image)
    found: dict[str, Tensor] = {}
    if case.reference is not None:
        reference = case.reference[None].to(image)
        found |= {
            "PSNR": metrics.psnr(batch, reference, mask),
            "SSIM": metrics.ssim(batch, reference, mask),
            "SNR": metrics.snr(batch, reference, mask),
        }
    found |= {
        "entropy": metrics.entropy(batch, mask),
        "AvG": metrics.average_gradient(batch, mask),
        "PIQE": metrics.piqe(batch, mask),
    }
    if niqe_model is not None:
        found["NIQE"] = metrics.niqe(batch, niqe_model, mask)
    if segment is not None and case.vessels is not None:
        vessels, probability = case.vessels[None].to(image), segment(batch, mask)
        overlap = metrics.confusion(probability, vessels, mask)
        found |= {"IoU": overlap.iou, "Dice": overlap.dice, "AUC": metrics.auc(probability, vessels, mask)}
    return {name: float(value) for name, value in found.items()}


def _summary(numbers: list[float]) -> dict[str, float]:
    known = [number for number in numbers if math.isfinite(number)]
    return {
        "mean": statistics.fmean(known) if known else math.nan,
        "std": statistics.stdev(known) if len(known) > 1 else 0.0,
        "images": len(known),
    }
