"""Images to measure, one at a time: degraded by a recipe, real ones with or without references, and pairs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from torch import Tensor

from degrade import fov
from degrade.base import Degradation
from degrade.fov.box import boxes
from degrade.fov.crop import cut
from degrade.images import image_io
from degrade.images.maps import full_scale
from degrade.ops.constants import SMALLEST_SIDE
from degrade.pairs.making import FAILURES, reason
from degrade.stream import PairStream, Source, SourceError

DEGRADED = "degraded"
_REFERENCE = " reference"  # no map has such a name
UNUSABLE = (*FAILURES, OSError)
"""Exceptions of an image that cannot be used."""


@dataclass(frozen=True)
class Case:
    """An image to enhance, float (C, H, W) in [0, 1].

    Attributes:
        id: of the image.
        image, mask: (C, H, W) and (1, H, W).
        reference: the good image of the same shape, if there is one.
        maps: what a segmenter is to find, such as "vessels", (1, H, W) each.
        groups: what the image is broken down by, such as {"type": "011"}.
    """

    id: str
    image: Tensor
    mask: Tensor
    reference: Tensor | None = None
    maps: Mapping[str, Tensor] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)

    def cropped(self, side: int) -> Case:
        """The middle square of a side, pixels, of image, mask, reference and maps; ValueError where it is too large."""
        height, width = self.image.shape[-2:]
        if min(height, width) < side:
            raise ValueError(f"it has {height} x {width} pixels: no square of {side}")
        top, left = (height - side) // 2, (width - side) // 2

        def cut(x: Tensor) -> Tensor:
            return x[..., top : top + side, left : left + side]

        reference = None if self.reference is None else cut(self.reference)
        maps = {name: cut(x) for name, x in self.maps.items()}
        return replace(self, image=cut(self.image), mask=cut(self.mask), reference=reference, maps=maps)


Failed = dict[str, str]
"""Ids of images that could not be used, with the reason."""


def synthetic_cases(
    source: Source,
    recipe: Degradation,
    *,
    size: int | None,
    seed: int,
    failed: Failed | None = None,
    structures: Sequence[str] = ("vessels",),
    prepare: Literal["fov"] | None = None,
) -> Iterator[Case]:
    """Degrade good images by a recipe, in the order of the source, equally in every call.

    The references are the images themselves; the maps of these names are passed on.

    Args:
        source: good images.
        recipe: degradation.
        size: side that images are resized and padded to; None keeps their size.
        seed: of the degradations.
        failed: images that cannot be used are added to it; without it the first one raises.
        structures: names of the maps that are measured.
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
                    fail(failed, id_, stream.failed.get(id_, "it cannot be used"))
                    continue
                maps = {name: batch.maps[name][0] for name in structures if name in batch.maps}
                clean, degraded, mask = batch.clean[0], batch.degraded[0], batch.mask[0]
                yield Case(id_, degraded, mask, clean, maps, _groups(batch.parameters))
        except SourceError as error:  # none of many can be used
            why = {} if stream is None else stream.failed
            for id_ in rest[done:]:
                fail(failed, id_, why.get(id_, str(error)))
            return
        except UNUSABLE as error:
            why = {} if stream is None else stream.failed
            fail(failed, rest[done], why.get(rest[done], error) if failed is not None else error)
            done += 1
        rest = rest[done:]


def graded_cases(cases: Mapping[str, Iterable[Case]], name: str) -> Iterator[Case]:
    """Cases of several kinds one after another, each in a group of its kind.

    Args:
        cases: by kind, such as "1" to "5".
        name: of the groups, such as "severity".
    """
    for kind, some in cases.items():
        for case in some:
            yield replace(case, groups={**case.groups, name: kind})


def real_cases(
    source: Source,
    reference: Source | None,
    field_of_view: Callable[[Tensor], Tensor] | None,
    *,
    size: int | None,
    failed: Failed | None = None,
    structures: Sequence[str] = ("vessels",),
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
        structures: names of the maps that are measured.
        prepare: "fov" crops photographs to the square around their field of view first; it needs `size`.
    """
    places = {} if reference is None else {id_: index for index, id_ in enumerate(reference.ids)}
    for index, id_ in enumerate(source.ids):
        try:
            case = _real_case(source, index, reference, places.get(id_), field_of_view, size, structures, prepare)
        except UNUSABLE as error:
            fail(failed, id_, error)
            continue
        yield case


def paired_cases(
    source: Source,
    *,
    size: int | None,
    failed: Failed | None = None,
    structures: Sequence[str] = ("vessels",),
    prepare: Literal["fov"] | None = None,
) -> Iterator[Case]:
    """Load pairs that exist: the map "degraded" of each image is what is to be enhanced, the image its reference.

    Args:
        source: such as `degrade.pairs.PairedDataset`.
        size: side that images are resized and padded to; None keeps their size.
        failed: images that cannot be used are added to it; without it the first one raises.
        structures: names of the maps that are measured.
        prepare: "fov" crops photographs to the square around their field of view first; it needs `size`.
    """
    for index, id_ in enumerate(source.ids):
        try:
            loaded = source.load(index)
            levels = {name: x if name in ("image", DEGRADED) else full_scale(x, name) for name, x in loaded.items()}
            sample = _placed(levels, size, prepare, field_of_view)
            known = source.parameters(index)
            groups = {} if known is None else _groups({name: value[None] for name, value in known.items()})
            maps = {name: sample[name] for name in structures if name in sample}
            case = Case(id_, sample[DEGRADED], sample["mask"], sample["image"], maps, groups)
        except UNUSABLE as error:
            fail(failed, id_, error)
            continue
        yield case


def field_of_view(image: Tensor) -> Tensor:
    """Mask (1, 1, H, W): estimated for a color photograph (1, 3, H, W), the whole frame for other images."""
    if image.shape[1] == 3 and min(image.shape[-2:]) >= SMALLEST_SIDE:
        return fov.estimate(image)
    return torch.ones_like(image[:, :1])


def cropped_cases(cases: Iterable[Case], side: int, failed: Failed | None = None) -> Iterator[Case]:
    """The middle square of each case, after resizing; images that are too small count as failed."""
    for case in cases:
        try:
            yield case.cropped(side)
        except ValueError as error:
            fail(failed, case.id, error)


def _groups(parameters: Mapping[str, Tensor]) -> dict[str, str]:
    """Groups of one sample, from its parameters (1, ...)."""
    return {"type": f"{int(parameters['type'][0]):03b}"} if "type" in parameters else {}


def _real_case(
    source: Source,
    index: int,
    reference: Source | None,
    place: int | None,
    field_of_view: Callable[[Tensor], Tensor] | None,
    size: int | None,
    structures: Sequence[str],
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
    maps = {name: sample[name] for name in structures if name in sample}
    return Case(source.ids[index], sample["image"], sample["mask"], sample.get(_REFERENCE), maps)


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


def fail(failed: Failed | None, id_: str, error: BaseException | str) -> None:
    """Record an image that cannot be used; raise without `failed`."""
    if failed is None or isinstance(error, torch.OutOfMemoryError):
        raise error if isinstance(error, BaseException) else ValueError(f"{id_!r}: {error}")
    failed[id_] = error if isinstance(error, str) else reason(error)


def _fitted(image: Tensor, size: int | None) -> Tensor:
    exact = image_io.to_float(image)
    return exact if size is None else image_io.resize(exact, size)
