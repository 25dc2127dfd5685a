"""Batches: small dataclasses of tensors on one device, which streams yield."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any, SupportsIndex, TypeVar

import torch
from torch import Tensor

from degrade.parameters import Parameters

Self = TypeVar("Self", bound="Record")


@dataclass(frozen=True)
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

    def _each(self: Self, function: Callable[[Tensor], Tensor]) -> Self:
        return replace(self, **{entry.name: _map(getattr(self, entry.name), function) for entry in fields(self)})


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class UnpairedBatch(Record):
    """As many images of low quality as of high quality, unrelated to each other."""

    low: Images
    high: Images


@dataclass(frozen=True)
class MixedBatch(Record):
    """Pairs, and images without a clean counterpart."""

    labelled: Batch
    unlabelled: Images


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
