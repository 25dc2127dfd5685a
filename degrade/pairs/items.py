"""The images that a data set is made from, in order, without a list of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from degrade.stream.source import Sample, Source


@dataclass(frozen=True)
class Item:
    """One image: `id` is its name in the data set, `source` its name in the source."""

    index: int
    id: str
    source: str
    origin: Source

    def load(self) -> Tensor:
        """uint8 or uint16 (C, H, W); `ImageError`, without the path, where that fails."""
        return self.sample()["image"]

    def sample(self) -> Sample:
        """The image and its maps; errors as of `load`."""
        return self.origin.load(self.index)


@dataclass(frozen=True)
class Items:
    """The first `limit` images of a source, or all; of several processes each takes every `size`-th."""

    origin: Source
    limit: int | None = None

    def __len__(self) -> int:
        return len(self.origin) if self.limit is None else min(len(self.origin), self.limit)

    def __iter__(self) -> Iterator[Item]:
        return self.share(0, 1)

    def share(self, rank: int, size: int) -> Iterator[Item]:
        """Every `size`-th image, from the `rank`-th on."""
        for index in range(rank, len(self), size):
            yield Item(index, self.origin.ids[index], self.origin.origin(index), self.origin)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._ids

    @cached_property
    def _ids(self) -> frozenset[str]:
        return frozenset(item.id for item in self)
