"""Pairs that exist: images of low quality with a good image each, from two sources, as one source with a map."""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

from degrade.errors import ImageError
from degrade.images.image_io import to_float
from degrade.stream.ids import finder
from degrade.stream.source import Sample, Source, SourceError

PREFIX = "pairs:"
DEGRADED = "degraded"
"""Name of the map that holds the image of low quality of a pair."""


class ExistingPairs(Source):
    """The good images of one source, with the images of low quality that have the same ids as the map "degraded".

    Images without a partner are left out, and counted in `others`.

    Args:
        low, high: the images of low and of high quality; the images of a pair have one size.

    Raises:
        SourceError: no id is in both.

    >>> from degrade.stream import open_source
    >>> pairs = open_source("pairs:phantom:fundus?count=3&size=64,phantom:fundus?count=2&size=64")
    >>> pairs.ids, pairs.load(0)["degraded"].dtype
    (['fundus_0000', 'fundus_0001'], torch.float32)
    """

    def __init__(self, low: Source, high: Source) -> None:
        self._find = finder(low.ids)
        places = [place for place, id_ in enumerate(high.ids) if self._find(id_) is not None]
        if not places:
            raise SourceError(
                f"{low.title} and {high.title} have no image of the same name: the first are {low.ids[0]!r} and "
                f"{high.ids[0]!r}"
            )
        self._low, self._high, self._places = low, high, places
        self.ids = [high.ids[place] for place in places]
        self.title, self.path = f"the pairs of {low.title} and {high.title}", high.path
        alone = set(low.ids) ^ set(high.ids)
        self.others = high.others + len(alone)
        self.left_out = [*(f"{id_} (without a partner)" for id_ in sorted(alone)[:10]), *high.left_out]

    def load(self, index: int) -> Sample:
        place = self._places[index]
        other = self._find(self.ids[index])
        assert other is not None  # looked at when this was made
        sample = self._high.load(place)
        low, high = self._low.load(other)["image"], sample["image"]
        if low.shape != high.shape:
            names = [_name(source, at) for source, at in ((self._low, other), (self._high, place))]
            raise ImageError(
                f"a pair has images of one size and kind: {names[0]} is {_kind(low)}, {names[1]} {_kind(high)}"
            )
        return {**sample, DEGRADED: to_float(low)}

    def origin(self, index: int) -> str:
        return self._high.origin(self._places[index])

    def file(self, index: int) -> Path | None:
        return self._high.file(self._places[index])


def _name(source: Source, index: int) -> str:
    file = source.file(index)
    return repr(os.fspath(file)) if file is not None else f"{source.ids[index]!r} of {source.title}"


def _kind(image: Tensor) -> str:
    channels, height, width = image.shape
    return f"{width} x {height} pixels of {channels} channel{'s' if channels != 1 else ''}"
