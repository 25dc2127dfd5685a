"""Open a data set: images with fields of view, vessels and discs by folder, by name pattern, or by a known layout."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path

from degrade.images import image_io
from degrade.stream.labels import keep_labelled
from degrade.stream.layouts import layout_of, open_part
from degrade.stream.opening import SourceLike, open_source
from degrade.stream.patterns import PatternSource
from degrade.stream.source import Sample, Source, SourceError

_WORDS = {"mask": "mask", "vessels": "vessel mask", "disc": "disc mask"}


class DatasetError(SourceError):
    """A part of a data set that cannot be used.

    Attributes:
        argument: name of the argument of `open_dataset` that it is about; of a map, "maps." and its name.
    """

    def __init__(self, argument: str, message: str) -> None:
        super().__init__(message)
        self.argument = argument


def open_dataset(
    where: SourceLike,
    *,
    layout: str | None = None,
    maps: Mapping[str, SourceLike] | None = None,
    wanted: Collection[str] | None = None,
    labels: str | os.PathLike[str] | None = None,
    keep: str | Iterable[str] = "good",
    note: Callable[[str], object] = lambda text: None,
    max_pixels: int = 100_000_000,
    window: image_io.Window | None = None,
) -> Source:
    """Open images with their maps. Images that lack a map are left out, and `note` is told how many.

    Args:
        where: whatever `open_source` takes; with `layout` the folder of the data set.
        layout: name of a public data set, one of `degrade.stream.layouts.LAYOUTS`.
        maps: sources of maps by name, such as {"mask": "fov", "vessels": "1st_manual/{id}_manual1.gif"}.
        wanted: maps of the layout to take; None takes field of view, vessels and disc, as far as it has them.
        labels, keep: CSV of quality labels and those to keep: see `degrade.stream.labels.keep_labelled`.
        note: function that gets a sentence about images left out.
        max_pixels, window: as of `open_source`.

    Raises:
        DatasetError: names the argument, the file, and what was expected.

    >>> open_dataset("phantom:fundus?count=3&size=64", maps={"mask": "phantom:fundus?count=2&size=64"}).ids
    ['fundus_0000', 'fundus_0001']
    """
    with _about("source" if layout is None else "layout"):
        if layout is None:
            source = open_source(where, max_pixels=max_pixels, window=window)
        else:
            if not isinstance(where, (str, os.PathLike)):
                raise SourceError(f"layout = {layout!r} needs the folder of the data set, not {type(where).__name__}")
            source = open_part(where, layout, max_pixels=max_pixels, window=window)
    if labels is not None:
        with _about("labels"):
            source = keep_labelled(source, labels, keep)
    found: dict[str, Source] = {}
    for name, given in (maps or {}).items():
        with _about(f"maps.{name}"):
            found[name] = open_source(given, max_pixels=max_pixels)
    if layout is not None:
        assert isinstance(where, (str, os.PathLike))
        has = layout_of(layout).maps
        default = [name for name in _WORDS if name in has]
        for name in default if wanted is None else wanted:
            if name in found or (name == "mask" and "mask" not in has):
                continue
            with _about("layout"):
                found[name] = open_part(where, layout, name, max_pixels=max_pixels)
    images = dict(zip(source.ids, getattr(source, "image_ids", ()), strict=False))
    for name, extra in found.items():
        extra = _Views(extra, images) if images else extra
        source = _with(source, name, extra, "layout" if name not in (maps or {}) else f"maps.{name}", note)
    return source


def _with(source: Source, name: str, extra: Source, argument: str, note: Callable[[str], object]) -> Source:
    """The images that have a map of this name, with it."""
    word = _WORDS.get(name, f"map {name!r}")
    both = set(source.ids) & set(extra.ids)
    if not both:
        expected = f": expected {extra.expected(source.ids[0])}" if isinstance(extra, PatternSource) else ""
        raise DatasetError(argument, f"{extra.title} has no mask with the name of an image of {source.title}{expected}")
    if len(both) < len(source):
        note(f"{len(both)} of {len(source)} images have a {word}; the others are left out")
        source = source.subset(both)
    return source.with_maps({name: extra})


class _Views(Source):
    """Maps of images by the ids of their views, as `degrade.pairs.PairedDataset` has them."""

    def __init__(self, source: Source, images: Mapping[str, str]) -> None:
        places = {id_: place for place, id_ in enumerate(source.ids)}
        self._source = source
        self.ids = [view for view, image in images.items() if image in places]
        self._places = [places[images[view]] for view in self.ids]
        self.title, self.path = source.title, source.path

    def load(self, index: int) -> Sample:
        return self._source.load(self._places[index])

    def file(self, index: int) -> Path | None:
        return self._source.file(self._places[index])


class _about:
    """Name the argument in the SourceErrors of a block."""

    def __init__(self, argument: str) -> None:
        self._argument = argument

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SourceError) and not isinstance(error, DatasetError):
            raise DatasetError(self._argument, str(error)) from None
