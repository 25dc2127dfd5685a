"""Measure degraded and enhanced images with every metric that applies, and make a table."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from degrade.images import image_io
from enhance import metrics
from enhance.cases import (
    DEGRADED,
    UNUSABLE,
    Case,
    Failed,
    cropped_cases,
    fail,
    field_of_view,
    graded_cases,
    paired_cases,
    real_cases,
    synthetic_cases,
)
from enhance.grading import Grader
from enhance.inference import Enhancer, enhance_image
from enhance.protocols import OWN, Protocol
from enhance.results import Results
from enhance.segmentation import StructureFinder, find_structures
from enhance.table import Table

__all__ = [
    "DEGRADED",
    "Case",
    "Measures",
    "Table",
    "cropped_cases",
    "evaluate",
    "field_of_view",
    "graded_cases",
    "measure",
    "paired_cases",
    "real_cases",
    "synthetic_cases",
]


@dataclass(frozen=True)
class Measures:
    """What is measured beside PSNR, SSIM, SNR (with a reference), entropy, AvG and PIQE, and how.

    Attributes:
        protocol: see `enhance.protocols`.
        niqe_model: adds NIQE.
        finder: a segmenter: adds its agreement with the maps of a case, or with protocol.against = "reference" with
            its segmentation of the reference.
        structures: names of what the finder finds, in the order of its channels.
        grader: adds FIQA and WFQA.
        times: adds the milliseconds that each method takes for an image, "ms".
    """

    protocol: Protocol = OWN
    niqe_model: metrics.NiqeModel | None = None
    finder: StructureFinder | None = None
    structures: tuple[str, ...] = ("vessels",)
    grader: Grader | None = None
    times: bool = False


def evaluate(
    enhancers: Mapping[str, Enhancer | Results],
    cases: Iterable[Case],
    measures: Measures | None = None,
    *,
    device: str | torch.device = "cpu",
    tile: int | None = None,
    sizes: Mapping[str, int] | None = None,
    look: Callable[[Case, dict[str, Tensor], dict[str, dict[str, float]]], object] | None = None,
    failed: Failed | None = None,
) -> Table:
    """Measure degraded images, and enhanced ones of each method.

    Degraded and enhanced images are rounded to 8 bits before, as when they are saved to a file; methods get them
    unrounded.

    Args:
        enhancers: by name of the row; networks on `device`, in eval mode, or results that exist.
        cases: from `synthetic_cases`, `real_cases` or `paired_cases`.
        measures: what is measured, and how.
        device: of the computation.
        tile: see `enhance.inference.enhance_image`.
        sizes: side at which a method enhances, by name of the row; its result has the image's size again.
        look: called with each case, its images and their numbers by method.
        failed: images on which a method or a metric fails are added to it and left out of all rows; pass the same dict
            to the cases. Without it the first one raises.
    """
    measures = measures or Measures()
    table = Table(failed={} if failed is None else failed)
    for case in cases:
        try:
            made, spent = _made(enhancers, case, torch.device(device), tile, sizes or {})
            of_reference = _of_reference(case, measures, device)
            rows = {name: measure(image.to(device), case, measures, of_reference) for name, image in made.items()}
        except UNUSABLE as error:
            fail(failed, case.id, error)
            continue
        for name, milliseconds in spent.items() if measures.times else ():
            rows[name]["ms"] = milliseconds
        table.add(case.id, rows, case.groups)
        if look is not None:
            look(case, made, rows)
    return table


def measure(
    image: Tensor, case: Case, measures: Measures | None = None, of_reference: Tensor | None = None
) -> dict[str, float]:
    """Every metric that applies to one image (C, H, W), within the field of view, or as the protocol says.

    Args:
        image: of the case, enhanced or not.
        case: its reference, mask and maps.
        measures: what is measured.
        of_reference: probabilities (N, H, W) that the finder gives for the reference; computed here without it.
    """
    measures = measures or Measures()
    batch, mask = image[None], case.mask[None].to(image)
    field = torch.ones_like(mask) if measures.protocol.whole_frame else mask
    found: dict[str, Tensor | float] = {}
    if case.reference is not None:
        reference = case.reference[None].to(image)
        if measures.protocol.masked:
            batch, reference = batch * mask, reference * mask
        found |= {
            "PSNR": metrics.psnr(batch, reference, field),
            "SSIM": metrics.ssim(batch, reference, field, measures.protocol.ssim),
            "SNR": metrics.snr(batch, reference, field),
        }
    found |= {
        "entropy": metrics.entropy(batch, field),
        "AvG": metrics.average_gradient(batch, field),
        "PIQE": metrics.piqe(batch, field),
    }
    if measures.niqe_model is not None:
        found["NIQE"] = metrics.niqe(batch, measures.niqe_model, field)
    if measures.grader is not None:
        found |= measures.grader(batch)
    if measures.finder is not None:
        if of_reference is None:
            of_reference = _of_reference(case, measures, image.device)
        found |= _structures(image, case, measures, of_reference)
    return {name: float(value) for name, value in found.items()}


def _structures(image: Tensor, case: Case, measures: Measures, of_reference: Tensor | None) -> dict[str, Tensor]:
    """Agreement of the segmentation with the maps of a case, or with that of its reference; empty without either."""
    finder = measures.finder
    assert finder is not None
    mask = case.mask[None].to(image)
    probability = find_structures(finder, image, case.mask.to(image), finder.size)
    if len(probability) != len(measures.structures):
        names = ", ".join(measures.structures)
        raise ValueError(
            f"the segmenter finds {len(probability)} structures; named are {len(measures.structures)}: {names}"
        )
    rows: dict[str, dict[str, Tensor]] = {}
    for place, name in enumerate(measures.structures):
        if measures.protocol.against == "reference":
            truth = None if of_reference is None else (of_reference[place] >= 0.5).to(image)[None]
        else:
            truth = case.maps[name].to(image) if name in case.maps else None
        if truth is not None:
            rows[name] = _agreement(probability[place][None, None], truth[None], mask)
    if len(measures.structures) == 1:
        return next(iter(rows.values()), {})
    found = {f"{name} {metric}": value for name, one in rows.items() for metric, value in one.items()}
    for metric in ("IoU", "Dice") if rows else ():
        found[f"mean {metric}"] = torch.stack([one[metric] for one in rows.values()]).nanmean()
    return found


def _agreement(probability: Tensor, truth: Tensor, mask: Tensor) -> dict[str, Tensor]:
    counts = metrics.confusion(probability, truth, mask)
    return {
        "IoU": counts.iou,
        "Dice": counts.dice,
        "AUC": metrics.auc(probability, truth, mask),
        "Acc": counts.accuracy,
        "Sen": counts.sensitivity,
        "Spe": counts.specificity,
        "FDR": counts.fdr,
        "G-mean": counts.g_mean,
        "kappa": counts.kappa,
    }


def _of_reference(case: Case, measures: Measures, device: str | torch.device) -> Tensor | None:
    """The finder's probabilities for the reference, where they are what is compared with."""
    finder = measures.finder
    if finder is None or measures.protocol.against != "reference" or case.reference is None:
        return None
    return find_structures(finder, case.reference.to(device), case.mask.to(device), finder.size)


def _made(
    enhancers: Mapping[str, Enhancer | Results],
    case: Case,
    device: torch.device,
    tile: int | None,
    sizes: Mapping[str, int],
) -> tuple[dict[str, Tensor], dict[str, float]]:
    """The degraded image and the enhanced ones by method, and the milliseconds that each took."""
    made, spent = {DEGRADED: _rounded(case.image)}, {}
    for name, enhancer in enhancers.items():
        if isinstance(enhancer, Results):
            made[name] = enhancer.enhanced(case)
            continue
        size = sizes.get(name)
        size = None if size is None or case.image.shape[-2:] == (size, size) else size
        mask = case.mask if size is None else (image_io.resize(case.mask.float(), size) > 0.5).float()
        started = _now(device)
        enhanced = enhance_image(
            enhancer, case.image, field_of_view=mask[None].to(device), size=size, device=device, tile=tile
        )
        spent[name] = 1000 * (_now(device) - started)
        made[name] = _rounded(enhanced)
    return made, spent


def _rounded(image: Tensor) -> Tensor:
    return image_io.to_float(image_io.to_integer(image))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
