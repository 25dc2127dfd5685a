"""open_source: make a Source from a path, a list, a tensor or a data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor
from torch.utils.data import IterableDataset

from degrade.images import image_io
from degrade.stream.arrays import DatasetSource, MapDataset, TensorSource
from degrade.stream.existing import PREFIX as PAIRS
from degrade.stream.existing import ExistingPairs
from degrade.stream.files import list_of_files, open_path
from degrade.stream.patterns import ID, open_pattern
from degrade.stream.phantoms import PREFIX, open_phantoms
from degrade.stream.shards import ShardSource
from degrade.stream.source import Source, SourceError

SourceLike = Source | str | os.PathLike[str] | Tensor | Sequence[str | os.PathLike[str]] | MapDataset
"""What `open_source` and every stream take."""


def open_source(
    where: SourceLike,
    *,
    maps: Mapping[str, SourceLike] | None = None,
    max_pixels: int = 100_000_000,
    window: image_io.Window | None = None,
) -> Source:
    """Open a source of images. Nothing is decoded yet.

    Args:
        where: one of

            - a folder: every image in it and below, hidden files apart, in sorted order
            - an image file, or a text file (.txt, .lst, .list) with a path per line, relative to its folder
            - a name pattern: 'images/{id}_training.tif', every file of such a name, by what stands for {id}
            - a list of paths of images
            - WebDataset shards: a path ending in .tar, also with braces, or a list of such paths (see `ShardSource`)
            - "phantom:fundus?count=8&size=512&seed=0": built-in images; chest and cornea likewise;
              of chests "&film=1" draws what films of many kinds add (see `degrade.phantom.chest`)
            - "pairs:LOW,HIGH": two such sources of images with the same names (see `ExistingPairs`)
            - a tensor (N, C, H, W) (see `TensorSource`)
            - a map-style data set of images (see `DatasetSource`)
            - a `Source`, such as `degrade.pairs.PairedDataset`

        maps: extra images that come along with each image: by name, sources that have an image of the same id, such as
            {"mask": "fov", "vessels": "manual/{id}_manual1.gif"}; "mask" is the field of view, which is estimated
            where none is given.
        max_pixels: larger files are refused before they are decoded.
        window: for DICOM, see `degrade.images.image_io.read`.

    Raises:
        SourceError: it does not exist, holds no images, or a map lacks some of the ids.

    >>> source = open_source("phantom:fundus?count=2&size=64")
    >>> source.ids, sorted(source.load(0))
    (['fundus_0000', 'fundus_0001'], ['fov', 'image', 'vessels'])
    """
    source = _open(where, max_pixels, window)
    return source.with_maps({name: open_source(value, max_pixels=max_pixels) for name, value in (maps or {}).items()})


def _open(where: Any, max_pixels: int, window: image_io.Window | None) -> Source:
    if isinstance(where, Source):
        return where
    if isinstance(where, Tensor):
        return TensorSource(where)
    if isinstance(where, str) and where.startswith(PAIRS):
        parts = where.removeprefix(PAIRS).split(",")
        if len(parts) != 2 or not all(parts):
            raise SourceError(f"{where!r}: two sources are needed, pairs:LOW,HIGH")
        low, high = (_open(part, max_pixels, window) for part in parts)
        return ExistingPairs(low, high)
    if isinstance(where, str) and where.startswith(PREFIX):
        return open_phantoms(where)
    if isinstance(where, (str, os.PathLike)):
        text = os.fspath(where)
        if ID in text:
            return open_pattern(text, max_pixels, window)
        if text.endswith(".tar"):
            return ShardSource(text, max_pixels)
        return open_path(Path(where), max_pixels, window)
    if isinstance(where, (list, tuple)) and all(isinstance(path, (str, os.PathLike)) for path in where):
        if not where:
            raise SourceError("the list of images is empty")
        if all(os.fspath(path).endswith(".tar") for path in where):
            return ShardSource([os.fspath(path) for path in where], max_pixels)
        return list_of_files(where, max_pixels)
    if hasattr(where, "__getitem__") and hasattr(where, "__len__") and not isinstance(where, IterableDataset):
        return DatasetSource(where)
    raise SourceError(
        f"a source is a folder, a list, shards, a phantom, a tensor or a map-style data set; got {type(where).__name__}"
    )
