"""Measure degraded and enhanced images with every metric that applies, and make a table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from degrade import fov
from degrade.base import SMALLEST_SIDE, Degradation
from degrade.fov.crop import boxes, cut
from degrade.images import image_io
from degrade.images.maps import full_scale
from degrade.pairs.making import FAILURES, reason
from degrade.stream import PairStream, Source, SourceError
from enhance import metrics
from enhance.inference import Enhancer, enhance_image

DEGRADED = "degraded"
_REFERENCE = " reference"  # no map has such a name
UNUSABLE = (*FAILURES, OSError)
"""Exceptions of an image that cannot be used."""

Segment = Callable[[Tensor, Tensor], Tensor]
"""Function of images (B, C, H, W) in [0, 1] and masks (B, 1, H, W) to vessel probabilities (B, 1, H, W)."""


@dataclass(frozen=True)
class Case:
    """An image to enhance, float (C, H, W) in [0, 1], with mask, reference and vessels if there are any."""

    id: str
    image: Tensor
    mask: Tensor
    reference: Tensor | None = None
    vessels: Tensor | None = None
    """The structure that a segmenter is to find, (1, H, W): vessels, or another map such as the disc."""


Failed = dict[str, str]
"""Ids of images that could not be used, with the reason."""


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


def synthetic_cases(
    source: Source,
    recipe: Degradation,
    *,
    size: int | None,
    seed: int,
    failed: Failed | None = None,
    structure: str = "vessels",
    prepare: Literal["fov"] | None = None,
) -> Iterator[Case]:
    """Degrade good images by a recipe, in the order of the source, equally in every call.

    The references are the images themselves; the map of that name is passed on.

    Args:
        source: good images.
        recipe: degradation.
        size: side that images are resized and padded to; None keeps their size.
        seed: of the degradations.
        failed: images that cannot be used are added to it; without it the first one raises.
        structure: name of the map that is measured.
        prepare: "fov" crops photographs to the square around their field of view first; it needs `size`.
    """
    rest = list(source.ids)
    while rest:
        stream, done = None, 0
        try:
            stream = PairStream(
                source.subset(set(rest)),
                recipe,
                batch_size=1,
                size=size,
                prepare=prepare,
                seed=seed,
                shuffle=False,
                rank=0,
                world_size=1,
            )
            for batch in stream:
                id_, done = rest[done], done + 1
                if batch.ids[0] != id_:  # another one took its place, and has its own as well
                    _fail(failed, id_, stream.failed.get(id_, "it cannot be used"))
                    continue
                vessels = batch.maps.get(structure)
                clean, degraded, mask = batch.clean[0], batch.degraded[0], batch.mask[0]
                yield Case(id_, degraded, mask, clean, None if vessels is None else vessels[0])
        except SourceError as error:  # none of many can be used
            why = {} if stream is None else stream.failed
            for id_ in rest[done:]:
                _fail(failed, id_, why.get(id_, str(error)))
            return
        except UNUSABLE as error:
            why = {} if stream is None else stream.failed
            _fail(failed, rest[done], why.get(rest[done], error) if failed is not None else error)
            done += 1
        rest = rest[done:]


def real_cases(
    source: Source,
    reference: Source | None,
    field_of_view: Callable[[Tensor], Tensor] | None,
    *,
    size: int | None,
    failed: Failed | None = None,
    structure: str = "vessels",
    prepare: Literal["fov"] | None = None,
) -> Iterator[Case]:
    """Load real bad images, with good references of the same ids if there are any.

    Args:
        source: bad images.
        reference: good images of the same sizes.
        field_of_view: function from an image (1, C, H, W) to its mask (1, 1, H, W), used where the source has no mask;
            None takes the whole frame.
        size: side that images are resized and padded to; None keeps their size.
        failed: images that cannot be used are added to it; without it the first one raises.
        structure: name of the map that is measured.
        prepare: "fov" crops photographs to the square around their field of view first; it needs `size`.
    """
    places = {} if reference is None else {id_: index for index, id_ in enumerate(reference.ids)}
    for index, id_ in enumerate(source.ids):
        try:
            case = _real_case(source, index, reference, places.get(id_), field_of_view, size, structure, prepare)
        except UNUSABLE as error:
            _fail(failed, id_, error)
            continue
        yield case


def paired_cases(
    source: Source,
    *,
    size: int | None,
    failed: Failed | None = None,
    structure: str = "vessels",
    prepare: Literal["fov"] | None = None,
) -> Iterator[Case]:
    """Load pairs that exist: the map "degraded" of each image is what is to be enhanced, the image its reference.

    Args:
        source: such as `degrade.pairs.PairedDataset`.
        size: side that images are resized and padded to; None keeps their size.
        failed: images that cannot be used are added to it; without it the first one raises.
        structure: name of the map that is measured.
        prepare: "fov" crops photographs to the square around their field of view first; it needs `size`.
    """
    for index, id_ in enumerate(source.ids):
        try:
            loaded = source.load(index)
            levels = {name: x if name in ("image", DEGRADED) else full_scale(x, name) for name, x in loaded.items()}
            sample = _placed(levels, size, prepare, field_of_view)
            case = Case(id_, sample[DEGRADED], sample["mask"], sample["image"], sample.get(structure))
        except UNUSABLE as error:
            _fail(failed, id_, error)
            continue
        yield case


def field_of_view(image: Tensor) -> Tensor:
    """Mask (1, 1, H, W): estimated for a color photograph (1, 3, H, W), the whole frame for other images."""
    if image.shape[1] == 3 and min(image.shape[-2:]) >= SMALLEST_SIDE:
        return fov.estimate(image)
    return torch.ones_like(image[:, :1])


def _real_case(
    source: Source,
    index: int,
    reference: Source | None,
    place: int | None,
    field_of_view: Callable[[Tensor], Tensor] | None,
    size: int | None,
    structure: str,
    prepare: Literal["fov"] | None,
) -> Case:
    loaded = source.load(index)
    levels = {name: image if name == "image" else full_scale(image, name) for name, image in loaded.items()}
    if reference is not None and place is not None:
        target = reference.load(place)["image"]
        if target.shape != levels["image"].shape:
            found = tuple(levels["image"].shape)
            raise ValueError(f"{source.ids[index]!r} is {found}, its reference {tuple(target.shape)}")
        levels[_REFERENCE] = target
    sample = _placed(levels, size, prepare, field_of_view)
    return Case(source.ids[index], sample["image"], sample["mask"], sample.get(_REFERENCE), sample.get(structure))


def _placed(
    levels: Mapping[str, Tensor],
    size: int | None,
    prepare: Literal["fov"] | None,
    field_of_view: Callable[[Tensor], Tensor] | None,
) -> dict[str, Tensor]:
    """Images of one size, float (C, H, W), fitted into `size`, or cropped to their field of view; with "mask"."""
    sample = {name: image_io.to_float(x) for name, x in levels.items()} if prepare else {}
    sample = sample or {name: _fitted(x, size) for name, x in levels.items()}
    image = sample["image"]
    if "mask" not in sample:
        sample["mask"] = torch.ones_like(image[:1]) if field_of_view is None else field_of_view(image[None])[0]
    if prepare:
        box = boxes(sample["mask"][None]).tolist()[0]
        sample["mask"] = (sample["mask"] > 0.5).to(image.dtype)
        sample = {name: cut(x, box, size) for name, x in sample.items()}
        sample["mask"] = (sample["mask"] > 0.5).to(image.dtype)
    return sample


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
            _fail(failed, case.id, error)
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


def _fail(failed: Failed | None, id_: str, error: BaseException | str) -> None:
    """Record an image that cannot be used; raise without `failed`."""
    if failed is None or isinstance(error, torch.OutOfMemoryError):
        raise error if isinstance(error, BaseException) else ValueError(f"{id_!r}: {error}")
    failed[id_] = error if isinstance(error, str) else reason(error)


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
