"""What enhancement does to images, in numbers: every metric that applies, for the images as they are and enhanced."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from degrade import image_io
from degrade.base import Degradation
from degrade.stream import PairStream, Source
from enhance import metrics
from enhance.inference import Enhancer, enhance_image

DEGRADED = "degraded"

Segment = Callable[[Tensor, Tensor], Tensor]
"""Images (B, C, H, W) in [0, 1] and masks -> the probability of a vessel (B, 1, H, W)."""


@dataclass(frozen=True)
class Case:
    """One image to be enhanced, float (C, H, W) in [0, 1], and what is known of it."""

    id: str
    image: Tensor
    mask: Tensor
    reference: Tensor | None = None
    vessels: Tensor | None = None


@dataclass
class Table:
    """Method by method, metric by metric: a number for each image."""

    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)

    def add(self, method: str, numbers: Mapping[str, float]) -> None:
        """One image's numbers."""
        for name, number in numbers.items():
            self.values.setdefault(method, {}).setdefault(name, []).append(number)

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Mean and standard deviation by method and metric, images without a number (NaN) left out."""
        return {
            method: {name: _summary(numbers) for name, numbers in columns.items()}
            for method, columns in self.values.items()
        }

    def text(self) -> str:
        """The table as text: mean ± standard deviation, a row for each method."""
        summary = self.summary()
        names = list(dict.fromkeys(name for columns in summary.values() for name in columns))
        rows = [["", *names]]
        for method, columns in summary.items():
            cells = [f"{columns[n]['mean']:.4g} ± {columns[n]['std']:.2g}" if n in columns else "" for n in names]
            rows.append([method, *cells])
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def synthetic_cases(source: Source, recipe: Degradation, *, size: int | None, seed: int) -> Iterator[Case]:
    """Good images degraded by a recipe, in the order of the source, the same in every call.

    The references are the images themselves; a map "vessels" comes along.
    """
    for batch in PairStream(source, recipe, batch_size=1, size=size, seed=seed, shuffle=False):
        vessels = batch.maps.get("vessels")
        yield Case(
            batch.ids[0],
            batch.degraded[0],
            batch.mask[0],
            batch.clean[0],
            None if vessels is None else vessels[0],
        )


def real_cases(
    source: Source,
    reference: Source | None,
    field_of_view: Callable[[Tensor], Tensor] | None,
    *,
    size: int | None,
) -> Iterator[Case]:
    """Bad images as they are, with good ones of the same ids where `reference` has them.

    Raises:
        ValueError: a reference of another size than its image.
    """
    places = {} if reference is None else {id_: index for index, id_ in enumerate(reference.ids)}
    for index, id_ in enumerate(source.ids):
        sample = {name: _fitted(image, size) for name, image in source.load(index).items()}
        image = sample["image"]
        target = None
        if reference is not None and id_ in places:
            target = _fitted(reference.load(places[id_])["image"], size)
            if target.shape != image.shape:
                raise ValueError(f"{id_!r} is {tuple(image.shape)}, its reference {tuple(target.shape)}")
        mask = sample.get("mask")
        if mask is None:
            mask = torch.ones_like(image[:1]) if field_of_view is None else field_of_view(image[None])[0]
        yield Case(id_, image, mask, target, sample.get("vessels"))


def evaluate(
    enhancers: Mapping[str, Enhancer],
    cases: Iterable[Case],
    *,
    niqe_model: metrics.NiqeModel | None = None,
    segment: Segment | None = None,
    device: str | torch.device = "cpu",
    tile: int | None = None,
    look: Callable[[Case, dict[str, Tensor]], object] | None = None,
) -> Table:
    """Measures images as they are and as each method enhances them.

    Enhanced images are rounded to 8 bits, as a file would hold them, before anything is measured.

    Args:
        enhancers: by the name of their row; networks on `device` and in eval mode.
        cases: from `synthetic_cases` or `real_cases`.
        niqe_model: adds NIQE.
        segment: adds IoU, Dice and AUC of vessels where a case has them.
        device: where it happens.
        tile: see `enhance.inference.enhance_image`.
        look: called with each case and what the methods made of it.
    """
    table = Table()
    for case in cases:
        made = {DEGRADED: case.image}
        for name, enhancer in enhancers.items():
            mask = case.mask[None].to(device)
            enhanced = enhance_image(enhancer, case.image, field_of_view=mask, device=device, tile=tile)
            made[name] = image_io.to_float(image_io.to_integer(enhanced))
        for name, image in made.items():
            table.add(name, measure(image.to(device), case, niqe_model, segment))
        table.ids.append(case.id)
        if look is not None:
            look(case, made)
    return table


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


def _fitted(image: Tensor, size: int | None) -> Tensor:
    exact = image_io.to_float(image)
    return exact if size is None else image_io.resize(exact, size)


def _summary(numbers: list[float]) -> dict[str, float]:
    known = [number for number in numbers if math.isfinite(number)]
    return {
        "mean": statistics.fmean(known) if known else math.nan,
        "std": statistics.stdev(known) if len(known) > 1 else 0.0,
        "images": len(known),
    }
