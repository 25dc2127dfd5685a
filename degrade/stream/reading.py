"""Decoding an image of a source and its maps for a stream, or another image where it cannot be used."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from degrade.errors import ImageError
from degrade.images.image_io import to_float
from degrade.images.maps import MapKind, map_kind, scaled
from degrade.stream.geometry import Geometry
from degrade.stream.scales import Scales
from degrade.stream.source import Sample, Source, SourceError, plane

_TRIES = 64
"""Number of images, scattered over the source, that are tried before the source is refused."""
_LOOKS = 8
"""Number of further images that are looked at where the first does not show the scale of its maps."""


Request = list[tuple[int, int]]
"""The images of one step: (which reader, which index) each."""


@dataclass(frozen=True)
class Decoded:
    """An image and its maps: uint8, uint16 or float32 (C, H, W), one size.

    Attributes:
        asked: the (reader, index) that was requested.
        index: of the image within its source; another one where that could not be used.
        images: "image" and the maps, scaled so that white is 255, 65535 or 1.
        binary: names of the maps that hold only black and white.
        kinds: of the maps as the source stores them.
    """

    asked: tuple[int, int]
    index: int
    images: Sample
    binary: frozenset[str]
    kinds: Mapping[str, MapKind]

    def each(self, function: Callable[[Tensor], Tensor]) -> Decoded:
        """The same with a function applied to every image."""
        return replace(self, images={name: function(image) for name, image in self.images.items()})

    @property
    def bytes(self) -> int:
        return sum(image.numel() * image.itemsize for image in self.images.values())


@dataclass
class Reading:
    """Result of reading some images: each of them or its replacement, reasons of failures, notes to log once."""

    decoded: list[Decoded]
    failures: dict[str, str]
    fatal: str = ""
    notes: list[str] = field(default_factory=list)

    def pin_memory(self) -> Reading:
        return replace(self, decoded=[entry.each(Tensor.pin_memory) for entry in self.decoded])


class Reader:
    """Reads the images of a source for a stream.

    Args:
        source: the images.
        geometry: says which sizes can be used.
        channels: which numbers of channels can be used; the first usable image decides for all, grey ones are
            repeated as needed.

    Attributes:
        notes: messages to log about the first images.

    Raises:
        SourceError: none of many scattered images can be used, or their maps contradict one another.
    """

    def __init__(self, source: Source, geometry: Geometry, channels: tuple[int, ...]) -> None:
        self.source, self._geometry, self._channels = source, geometry, channels
        self._names: frozenset[str] | None = None
        self._scales = Scales(source.title)
        reading = self.read(0)
        if reading.fatal:
            raise SourceError(reading.fatal)
        first = reading.decoded[0]
        self._channels = (first.images["image"].shape[0],)
        self._names = frozenset(first.images)
        self.notes = reading.notes + self._learn_scales(first)

    @property
    def names(self) -> frozenset[str]:
        """Names of what each sample has: "image" and its maps."""
        assert self._names is not None
        return self._names

    def read(self, index: int) -> Reading:
        """Read an image; where it cannot be used another one, always the same and far from it."""
        failures: dict[str, str] = {}
        for candidate in self._candidates(index):
            try:
                decoded = self._decode(candidate)
                self._scales.check(decoded.kinds)
                return Reading([decoded], failures, notes=self._notes(decoded))
            except Exception as error:  # whatever a file or somebody's data set may raise: its place is filled
                failures[self.source.ids[candidate]] = _reason(error)
        id_, reason = next(iter(failures.items()))
        return Reading(
            [],
            failures,
            f"no image of {self.source.title} can be used: tried {len(failures)} of {len(self.source)}; "
            f"{id_!r}: {reason}",
        )

    def _learn_scales(self, first: Decoded) -> list[str]:
        """Find the scale of the maps from the first image, and from a few more where that one does not tell."""
        self._scales.learn(self.source.ids[first.index], first.kinds)
        notes: list[str] = []
        if self._scales.undecided(first.kinds):
            for candidate in itertools.islice(self._candidates(first.index), 1, 1 + _LOOKS):
                try:
                    decoded = self._decode(candidate)
                except Exception:  # reported when a stream asks for it
                    continue
                self._scales.learn(self.source.ids[candidate], decoded.kinds)
                notes += self._notes(decoded)
        return notes

    def _notes(self, decoded: Decoded) -> list[str]:
        return self._scales.notes(name for name, kind in decoded.kinds.items() if kind is MapKind.ONES)

    def _candidates(self, index: int) -> Iterator[int]:
        count = len(self.source)
        stride = max(1, round(count * 0.382))  # the golden section scatters them
        while math.gcd(stride, count) > 1:
            stride += 1
        yield from ((index + stride * attempt) % count for attempt in range(min(count, _TRIES)))

    def _decode(self, index: int) -> Decoded:
        loaded = self.source.load(index)
        kinds = {name: map_kind(image, name) for name, image in loaded.items() if name != "image"}
        sample = {
            name: _standard(scaled(image, kinds[name]) if name in kinds else image) for name, image in loaded.items()
        }
        image = sample["image"]
        shape = tuple(image.shape[-2:])
        self._geometry.check(*shape)
        sample["image"] = self._with_channels(image)
        for name, extra in sample.items():
            if tuple(extra.shape[-2:]) != shape:
                raise ImageError(f"its map {name!r} is {_size(extra)} pixels, the image {_size(image)}")
        if "mask" in sample:
            sample["mask"] = plane(sample["mask"], "mask")
        if self._names is not None and sample.keys() != self._names:
            raise ImageError(f"it has {_names(sample)}; the source's first image has {_names(self._names)}")
        binary = frozenset(name for name, extra in sample.items() if name != "image" and _is_binary(extra))
        return Decoded((0, index), index, sample, binary, kinds)

    def _with_channels(self, image: Tensor) -> Tensor:
        if image.shape[0] in self._channels:
            return image
        if 3 in self._channels:
            return image.expand(3, -1, -1).contiguous()
        return plane(image)


def read_all(readers: list[Reader], requests: Request) -> Reading:
    """Read the images (reader, index) of a request; stops, with `fatal` set, at a source that cannot be read."""
    whole = Reading([], {})
    for reader, index in requests:
        reading = readers[reader].read(index)
        whole.decoded += [replace(entry, asked=(reader, index)) for entry in reading.decoded]
        whole.failures |= reading.failures
        whole.notes += reading.notes
        if reading.fatal:
            whole.fatal = reading.fatal
            break
    return whole


def _standard(image: Tensor) -> Tensor:
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ImageError(f"an image is (C, H, W) with C = 1 or 3; got shape {tuple(image.shape)}")
    if image.dtype == torch.bool:
        return image.to(torch.uint8) * 255
    if image.is_floating_point():
        return to_float(image)
    if image.dtype not in (torch.uint8, torch.uint16):
        raise ImageError(f"an image is uint8, uint16 or floating point in [0, 1]; got {image.dtype}")
    return image


def _is_binary(image: Tensor) -> bool:
    top = {torch.uint8: 255, torch.uint16: 65535}.get(image.dtype, 1)
    values = image.numpy()
    return bool(((values == 0) | (values == top)).all())


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]} x {image.shape[-2]}"


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if isinstance(error, (ImageError, ValueError)) else f"{type(error).__name__}: {text}"
