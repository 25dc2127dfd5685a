"""Lane: one source within a stream, from positions in the epoch to images on the device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from degrade.fov import estimate
from degrade.fov.box import boxes
from degrade.fov.crop import cut
from degrade.images.image_io import to_float
from degrade.rng import keyed
from degrade.sequence import SeqLC
from degrade.stream.batch import Images
from degrade.stream.geometry import Geometry, Placing
from degrade.stream.ids import finder, fingerprint
from degrade.stream.jitter import Jitter, jittered
from degrade.stream.numbers import whole
from degrade.stream.options import StreamOptions
from degrade.stream.order import LARGEST_SHUFFLED, Order, Place
from degrade.stream.reading import Decoded, Reader
from degrade.stream.source import Source, SourceError
from degrade.stream.whole import add_views, refers_to_photograph

FieldOfView = Callable[[Tensor], Tensor]


class Lane:
    """One source of a stream: order, decoding, geometry and masks.

    Args:
        name: of the source within the stream, in messages; different names are shuffled independently.
        source: the images.
        options: of the stream, all of them (see `with_defaults`).
        channels: how many the images may have.
        field_of_view: makes (B, 1, H, W) from (B, C, H, W) where the source has no "mask"; None is the whole frame.
        patches: samples from each image in an epoch.
        twins: names of maps whose colors change with the image's, where these are augmented.
        sequence: the degradation of these images, if they have one. `images` degrades whole images by it before it
            crops, if its lengths refer to the photograph; otherwise that is left to the stream.

    Raises:
        ValueError: an option that is not allowed.
        SourceError: a source of which no image can be used, or that is too large to be shuffled.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        options: StreamOptions,
        *,
        channels: tuple[int, ...],
        field_of_view: FieldOfView | None,
        patches: int = 1,
        twins: tuple[str, ...] = (),
        sequence: SeqLC | None = None,
    ) -> None:
        geometry = Geometry(options["size"], options["crop"], options["hflip"], options["vflip"])
        seed, shuffle = options["seed"], options["shuffle"]
        prepare = options["prepare"]
        if prepare not in (None, "fov") or (prepare and geometry.size is None):
            raise ValueError(
                f"prepare = {prepare!r} with size = {geometry.size}: allowed is None, or 'fov' with a size"
            )
        patches = whole("patches", patches)
        if patches < 1 or (patches > 1 and geometry.crop is None):
            raise ValueError(f"patches = {patches}: at least 1, and more only with crop, which says their size")
        if shuffle and len(source) > LARGEST_SHUFFLED:
            raise SourceError(
                f"{source.title} has {len(source):,} images, and at most {LARGEST_SHUFFLED:,} can be shuffled: "
                "give shuffle=False, or a subset of it"
            )
        self.reader = Reader(source, geometry, channels)
        self.name, self.source, self._geometry, self._patches = name, source, geometry, patches
        self._seed, self._shuffle = whole("seed", seed), bool(shuffle)
        self._field_of_view, self._prepare = field_of_view, prepare
        self._jitter = Jitter(options["brightness_jitter"], options["contrast_jitter"], options["color_jitter"])
        self._twins = twins
        self._sequence = sequence if geometry.crop is not None and refers_to_photograph(sequence) else None

    def __len__(self) -> int:
        return len(self.source) * self._patches

    @cached_property
    def fingerprint(self) -> int:
        """Hash of the source's ids."""
        return fingerprint(self.source.ids)

    def order(self, epoch: int) -> Order:
        """The places of an epoch."""
        return Order(len(self.source), self._patches, self._seed, epoch, self.name, self._shuffle)

    def images(self, places: list[Place], decoded: list[Decoded], epoch: int, device: torch.device) -> Images:
        """The samples at some places, once their images are decoded; keys are on the CPU, where one draws from them."""
        ids = [self._id(entry.index, place) for place, entry in zip(places, decoded, strict=True)]
        rounds = torch.tensor([place.round for place in places])
        keys = keyed.make_keys(self._seed, ids, epoch, rounds)
        placings = self._geometry.draw(keys)
        samples = self._resized(decoded, placings, device)
        self._add_masks(samples)
        samples = [self._geometry.flip(sample, how) for sample, how in zip(samples, placings, strict=True)]
        if not self._jitter.is_none:
            drawn = self._jitter.draw(keys)
            samples = [jittered(sample, how, self._twins) for sample, how in zip(samples, drawn, strict=True)]
        parameters = {} if self._sequence is None else add_views(samples, keys, self._sequence)
        samples = [self._geometry.window(sample, how) for sample, how in zip(samples, placings, strict=True)]
        maps = {name: self._stack(name, samples, ids) for name in samples[0]}
        image, mask = maps.pop("image"), maps.pop("mask")
        return Images(image, mask, keys, ids, maps, parameters)

    def parameters(self, ids: list[str], device: torch.device) -> dict[str, Tensor]:
        """The parameters that the source knows of some samples, (B, ...) each; empty where it knows none."""
        images = ids if self._patches == 1 else [id_.rpartition("#")[0] for id_ in ids]
        places = [self._find(id_) for id_ in images]
        known = [None if place is None else self.source.parameters(place) for place in places]
        found = [one for one in known if one is not None]
        if len(found) < len(ids):
            return {}
        return {name: torch.stack([one[name] for one in found]).to(device) for name in found[0]}

    @cached_property
    def _find(self) -> Callable[[str], int | None]:
        return finder(self.source.ids)

    def _id(self, index: int, place: Place) -> str:
        id_ = self.source.ids[index]
        return id_ if self._patches == 1 else f"{id_}#{place.patch}"

    def _resized(
        self, decoded: list[Decoded], placings: list[Placing], device: torch.device
    ) -> list[dict[str, Tensor]]:
        """Float images of the sizes asked for, on the device."""
        moved = [{n: x.to(device, non_blocking=True) for n, x in entry.images.items()} for entry in decoded]
        samples: list[dict[str, Tensor]] = [{} for _ in decoded]
        for group in self._alike(moved, decoded, placings):
            images = {name: _float(_stacked([moved[i][name] for i in group])) for name in moved[group[0]]}
            binary, placing = decoded[group[0]].binary, placings[group[0]]
            if not self._prepare:
                images = self._geometry.resize(images, placing, binary)
            for place, index in enumerate(group):
                mine = {name: image[place] for name, image in images.items()}
                samples[index] = self._cropped(mine, placing, binary) if self._prepare else mine
        return samples

    @staticmethod
    def _alike(moved: list[dict[str, Tensor]], decoded: list[Decoded], placings: list[Placing]) -> list[list[int]]:
        """Samples that are resized together: on a GPU all that can be, on a CPU each, in its cache, for itself."""
        groups = defaultdict(list)
        for index, (images, entry, placing) in enumerate(zip(moved, decoded, placings, strict=True)):
            kinds = tuple((name, image.dtype, image.shape) for name, image in images.items())
            alone = index if images["image"].device.type == "cpu" else -1
            groups[kinds, entry.binary, placing.side, alone].append(index)
        return list(groups.values())

    def _cropped(self, images: dict[str, Tensor], placing: Placing, binary: frozenset[str]) -> dict[str, Tensor]:
        """Crop a whole photograph and its maps to the square around the field of view, and add the mask."""
        image, mask = images["image"], images.get("mask")
        if mask is None:
            mask = (self._field_of_view or estimate)(image[None])[0]
        box = boxes(mask[None]).tolist()[0]
        inside = (mask > 0.5).to(image.dtype)
        cropped = {name: cut(one, box, placing.side) for name, one in ({**images, "mask": inside}).items()}
        black_and_white = binary | {"mask"}
        return {name: (x > 0.5).to(x.dtype) if name in black_and_white else x for name, x in cropped.items()}

    def _add_masks(self, samples: list[dict[str, Tensor]]) -> None:
        """Add masks estimated from the whole images, of pairs from both, where the source has none."""
        if "mask" in samples[0]:
            return
        if self._field_of_view is None:
            for sample in samples:
                sample["mask"] = torch.ones_like(sample["image"][:1])
            return
        alike = len({sample["image"].shape for sample in samples}) == 1
        for group in [samples] if alike else [[sample] for sample in samples]:
            masks = self._field_of_view(torch.stack([sample["image"] for sample in group]))
            for name in self._twins:  # of pairs that exist: what both of them show
                masks = masks * self._field_of_view(torch.stack([sample[name] for sample in group]))
            for sample, mask in zip(group, masks, strict=True):
                sample["mask"] = mask

    def _stack(self, name: str, samples: list[dict[str, Tensor]], ids: list[str]) -> Tensor:
        shapes = [tuple(sample[name].shape) for sample in samples]
        if len(set(shapes)) > 1:
            other = next(number for number, shape in enumerate(shapes) if shape != shapes[0])
            raise ValueError(
                f"a batch has images of one shape; {ids[0]!r} is {shapes[0]} and {ids[other]!r} {shapes[other]}: "
                "give size or crop, or batch_size = 1"
            )
        return torch.stack([sample[name] for sample in samples])


def _stacked(images: list[Tensor]) -> Tensor:
    """As torch.stack; of one image without a copy."""
    return images[0][None] if len(images) == 1 else torch.stack(images)


def _float(image: Tensor) -> Tensor:
    return image if image.is_floating_point() else to_float(image)  # floats were looked at when they were decoded
