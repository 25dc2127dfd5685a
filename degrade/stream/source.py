"""Source: the images that streams read, by number, each with an id; and the maps that come along."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from degrade.errors import ImageError
from degrade.stream.ids import LARGEST_LISTED, Numbered, finder

Sample = dict[str, Tensor]
"""An image and its maps, by name: (C, H, W) each, uint8, uint16, or floating point in [0, 1].

"image" is always there. A map, here and in every argument called `maps`, is an extra image of the same size that comes
along with the image: "mask" is the field of view, any other name is the source's, such as "vessels". Sources return
maps as they are stored, also with 0 and 1 for black and white: streams scale them by the rule of
`degrade.images.maps`."""


class SourceError(ValueError):
    """A source that cannot be used, or of which no image can be read."""


class Source(ABC):
    """Images by number.

    Attributes:
        ids: names of the images, unique; keys are made from them.
        title: name of the source in messages.
        path: the folder or file that the source reads, if it is one.
        others: number of things in it that are no images of this source: other files, maps without their image, names
            that occur twice, folders that cannot be read. Hidden files and folders do not count.
        left_out: the names of the first few of them, with a reason in parentheses where it is not the suffix.
    """

    ids: Sequence[str]
    title: str
    path: Path | None = None
    others: int = 0
    left_out: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def load(self, index: int) -> Sample:
        """Decode one image and its maps. Any exception means that this one cannot be used."""

    def origin(self, index: int) -> str:
        """The name of an image in manifests, relative to the source: never an absolute path."""
        return self.ids[index]

    def file(self, index: int) -> Path | None:
        """The file that an image is read from, if there is one."""
        return None

    def parameters(self, index: int) -> dict[str, Tensor] | None:
        """The parameters that a pair was made with, each without the axis of the batch; None if none are known."""
        return None

    def subset(self, keep: Collection[str] | Callable[[str], bool]) -> Source:
        """A source of some of the images.

        Args:
            keep: ids, or a function from an id to whether its image is kept.

        Raises:
            SourceError: none is kept.

        >>> from degrade.stream import open_source
        >>> open_source("phantom:fundus?count=8").subset(lambda id_: id_ < "fundus_0002").ids
        ['fundus_0000', 'fundus_0001']
        """
        if callable(keep):
            _check_listed(self, "subset")
            places = [place for place, id_ in enumerate(self.ids) if keep(id_)]
        elif isinstance(self.ids, Numbered) and len(keep) < len(self):
            find = finder(self.ids)
            places = sorted(place for id_ in set(keep) if (place := find(id_)) is not None)
        else:
            _check_listed(self, "subset")
            wanted = frozenset(keep)
            places = [place for place, id_ in enumerate(self.ids) if id_ in wanted]
        if not places:
            raise SourceError(f"subset: none of the {len(self)} ids of {self.title} is kept")
        return _Some(self, places)

    def with_maps(self, maps: Mapping[str, Source]) -> Source:
        """A source with maps: by name, sources that hold an image of the same id for each image."""
        return _Mapped(self, maps) if maps else self


class _Some(Source):
    """Some images of another source."""

    def __init__(self, source: Source, places: list[int]) -> None:
        self._source, self._places = source, places
        self.ids = [source.ids[place] for place in places]
        self.title, self.path, self.others, self.left_out = source.title, source.path, source.others, source.left_out

    def load(self, index: int) -> Sample:
        return self._source.load(self._places[index])

    def parameters(self, index: int) -> dict[str, Tensor] | None:
        return self._source.parameters(self._places[index])

    def origin(self, index: int) -> str:
        return self._source.origin(self._places[index])

    def file(self, index: int) -> Path | None:
        return self._source.file(self._places[index])


class _Mapped(Source):
    """Another source with maps added."""

    def __init__(self, source: Source, maps: Mapping[str, Source]) -> None:
        if "image" in maps:
            raise SourceError(
                "maps: 'image' is the image itself; allowed is any other name, 'mask' for the field of view"
            )
        self._source, self._maps = source, dict(maps)
        self._places = {}
        for name, extra in maps.items():
            self._places[name] = finder(extra.ids)
            self._check(name, extra)
        self.ids, self.title, self.path = source.ids, source.title, source.path
        self.others, self.left_out = source.others, source.left_out

    def load(self, index: int) -> Sample:
        sample = self._source.load(index)
        for name, extra in self._maps.items():
            place = self._places[name](self.ids[index])
            assert place is not None  # looked at when this was made
            sample[name] = self._checked(name, plane(extra.load(place)["image"], name), sample["image"], place)
        return sample

    def _checked(self, name: str, map_: Tensor, image: Tensor, place: int) -> Tensor:
        """A map; ImageError where it has another size than the image, or is a field of view that is empty."""
        extra = self._maps[name]
        file = extra.file(place)
        beside = f": {os.fspath(file)!r}" if file is not None else ""
        if map_.shape[-2:] != image.shape[-2:]:
            sizes = [f"{x.shape[-1]} x {x.shape[-2]}" for x in (map_, image)]
            raise ImageError(f"its map {name!r} is {sizes[0]} pixels, the image {sizes[1]}{beside}")
        if name == "mask" and not bool((map_ != 0).any()):
            raise ImageError(f"its map 'mask' covers nothing{beside}")
        return map_

    def parameters(self, index: int) -> dict[str, Tensor] | None:
        return self._source.parameters(index)

    def _check(self, name: str, extra: Source) -> None:
        """Raises SourceError where a map lacks some of the ids."""
        source = self._source
        if source.ids is extra.ids or (isinstance(source.ids, Numbered) and source.ids == extra.ids):
            return
        _check_listed(source, f"maps: {name!r}")
        if missing := [id_ for id_ in source.ids if self._places[name](id_) is None]:
            raise SourceError(
                f"map {name!r} ({extra.title}) lacks {len(missing)} of the {len(source)} ids of {source.title}, "
                f"{missing[0]!r} first; source.subset(ids) keeps those that have it"
            )

    def origin(self, index: int) -> str:
        return self._source.origin(index)

    def file(self, index: int) -> Path | None:
        return self._source.file(index)


def _check_listed(source: Source, what: str) -> None:
    """Raises SourceError where looking at each id would take too long."""
    if len(source) > LARGEST_LISTED:
        raise SourceError(
            f"{what}: {source.title} has {len(source):,} ids, and at most {LARGEST_LISTED:,} are looked at one by one; "
            "open fewer, or name the ids in a list"
        )


def plane(image: Tensor, name: str = "") -> Tensor:
    """One channel of a grey image, which may be stored as three equal ones: (C, H, W) -> (1, H, W).

    Args:
        image: (C, H, W), C = 1 or 3.
        name: of the map, for the message.

    Raises:
        ValueError: the channels differ.
    """
    if image.shape[0] == 3 and not (torch.equal(image[0], image[1]) and torch.equal(image[0], image[2])):
        what = f"map {name!r}: it" if name else "it"
        raise ValueError(f"{what} is a colour image where a grey one is needed")
    return image[:1]
