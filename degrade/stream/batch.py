"""Batches: small dataclasses of tensors on one device, which streams yield."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar

import torch
from torch import Tensor

from degrade.display import MOST_ROWS, Tile, sheet, sheet_html, type_words
from degrade.parameters import Parameters

if TYPE_CHECKING:
    from PIL.Image import Image

Self = TypeVar("Self", bound="Record")

_THUMBNAIL = 128  # pixels
_NAMES = 4


@dataclass(frozen=True, repr=False)
class Record:
    """A dataclass of tensors: the methods that all batches share."""

    def to(self: Self, device: str | torch.device, non_blocking: bool = False) -> Self:
        """Copy to another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def pin_memory(self: Self) -> Self:
        """Copy to page-locked memory, from which copies to a GPU are asynchronous."""
        return self._each(Tensor.pin_memory)

    def tensors(self) -> Iterator[Tensor]:
        """All tensors, also those in nested batches and dictionaries."""
        for entry in fields(self):
            yield from _tensors(getattr(self, entry.name))

    def show(self, size: int = 192) -> Image:
        """The first eight samples as a picture: images side by side, with ids and types under them.

        Args:
            size: of each image, pixels.
        """
        rows, last = self._shown()
        return sheet(rows, size, last)

    def __repr__(self) -> str:
        parts = (f"{entry.name}={_short(getattr(self, entry.name))}" for entry in fields(self))
        return f"{type(self).__name__}({', '.join(parts)})"

    def _repr_html_(self) -> str:
        rows, last = self._shown()
        return sheet_html(repr(self), rows, _THUMBNAIL, last)

    def _shown(self) -> tuple[list[list[Tile]], str]:
        """The rows that are shown, and what is said of the others."""
        rows, count = self._rows(MOST_ROWS), self._count()
        return rows, f"and {count - len(rows)} more" if count > len(rows) else ""

    def _rows(self, most: int) -> list[list[Tile]]:
        """The tiles of at most so many samples."""
        raise NotImplementedError

    def _count(self) -> int:
        raise NotImplementedError

    def _each(self: Self, function: Callable[[Tensor], Tensor]) -> Self:
        return replace(self, **{entry.name: _map(getattr(self, entry.name), function) for entry in fields(self)})


@dataclass(frozen=True, repr=False)
class Samples(Record):
    """A batch whose fields all have one entry per sample: it can be indexed like a tensor."""

    def __getitem__(self: Self, index: SupportsIndex | slice) -> Self:
        """A batch of some of the samples, perhaps of none; a whole number gives a batch of one."""
        if not isinstance(index, slice):
            try:
                index = operator.index(index)
            except TypeError:
                raise TypeError(f"a batch is indexed by a whole number or a slice, got {index!r}") from None
            count = len(self.__dict__["ids"])
            if not -count <= index < count:
                raise IndexError(f"sample {index} of a batch of {count}")
            index = slice(index, index + 1 or None)

        def cut(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: cut(entry) for name, entry in value.items()}
            return value[index]

        return replace(self, **{entry.name: cut(getattr(self, entry.name)) for entry in fields(self)})

    def __len__(self) -> int:
        return len(self.__dict__["ids"])

    def _count(self) -> int:
        return len(self)


@dataclass(frozen=True, repr=False)
class Batch(Samples):
    """Pairs of clean and degraded images.

    Attributes:
        clean: (B, C, H, W) float32 in [0, 1].
        degraded: the same, made from `clean`; with several views (B, K, C, H, W).
        mask: (B, 1, H, W), 1 inside the field of view.
        parameters: of the degradation: (B, ...), with several views (B, K, ...).
        keys: int64 (B,), with several views (B, K): `recipe.draw` makes the parameters from them.
        ids: names of the samples.
        maps: extra images of the samples that the source has, by name, such as "vessels": (B, C, H, W) float32 in
            [0, 1], with the same geometry.
    """

    clean: Tensor
    degraded: Tensor
    mask: Tensor
    parameters: Parameters
    keys: Tensor
    ids: list[str]
    maps: dict[str, Tensor] = field(default_factory=dict)

    def _rows(self, most: int) -> list[list[Tile]]:
        rows = []
        for number, id_ in enumerate(self.ids[:most]):
            views = self.degraded[number].reshape(-1, *self.clean.shape[1:])
            rows.append([Tile(id_, self.clean[number])])
            for view, image in enumerate(views):
                words = _types(self.parameters, number, view) or "degraded"
                rows[-1].append(Tile(f"view {view}: {words}" if len(views) > 1 else words, image))
        return rows


@dataclass(frozen=True, repr=False)
class Images(Samples):
    """Images of one source, real ones or such that the stream has degraded.

    Attributes:
        image: (B, C, H, W) float32 in [0, 1].
        mask: (B, 1, H, W), 1 inside the field of view.
        keys: int64 (B,); the geometry was drawn from them.
        ids: names of the samples.
        maps: extra images of the samples that the source has, by name: (B, C, H, W) float32 in [0, 1].
        parameters: of the degradation, (B, ...), where the stream has degraded the images; else empty.
    """

    image: Tensor
    mask: Tensor
    keys: Tensor
    ids: list[str]
    maps: dict[str, Tensor] = field(default_factory=dict)
    parameters: Parameters = field(default_factory=dict)

    def _rows(self, most: int) -> list[list[Tile]]:
        captions = (": ".join(filter(None, (id_, _types(self.parameters, n)))) for n, id_ in enumerate(self.ids[:most]))
        return [[Tile(caption, image)] for caption, image in zip(captions, self.image[:most], strict=True)]


@dataclass(frozen=True, repr=False)
class UnpairedBatch(Record):
    """As many images of low quality as of high quality, unrelated to each other."""

    low: Images
    high: Images

    def _rows(self, most: int) -> list[list[Tile]]:
        pairs = zip(self.low._rows(most), self.high._rows(most), strict=True)
        return [[*_named("low", low), *_named("high", high)] for low, high in pairs]

    def _count(self) -> int:
        return len(self.low)


@dataclass(frozen=True, repr=False)
class MixedBatch(Record):
    """Pairs, and images without a clean counterpart."""

    labelled: Batch
    unlabelled: Images

    def _rows(self, most: int) -> list[list[Tile]]:
        labelled = self.labelled._rows((most + 1) // 2)
        unlabelled = self.unlabelled._rows(most - len(labelled))
        return labelled + [_named("unlabelled", row) for row in unlabelled]

    def _count(self) -> int:
        return len(self.labelled) + len(self.unlabelled)


def _named(name: str, row: list[Tile]) -> list[Tile]:
    return [Tile(f"{name}: {tile.caption}", tile.image) for tile in row]


def _types(parameters: Parameters, sample: int, view: int = 0) -> str:
    """The stages that acted, in words; empty for models without types."""
    return type_words(int(parameters["type"][sample].flatten()[view])) if "type" in parameters else ""


def _short(value: Any) -> str:
    """A field in a few words: shapes of tensors, the first and the number of many names."""
    if isinstance(value, Tensor):
        place = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}{place}"
    if isinstance(value, (dict, list)):
        names = [*map(str, value)]
        shown = ", ".join(names[:_NAMES]) + (f", ... {len(names)} in all" if len(names) > _NAMES else "")
        return f"[{shown}]"
    return repr(value)


def _map(value: Any, function: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, dict):
        return {name: _map(entry, function) for name, entry in value.items()}
    return value._each(function) if isinstance(value, Record) else value


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for entry in value.values():
            yield from _tensors(entry)
    elif isinstance(value, Record):
        yield from value.tensors()
