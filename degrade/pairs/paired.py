"""PairedDataset: reads back what `synthesize` wrote, files or shards."""

from __future__ import annotations

import os
from array import array
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from torch import Tensor
from torch.utils.data import Dataset

from degrade.base import Degradation
from degrade.images import image_io
from degrade.pairs import manifest, storage
from degrade.pairs.dataset import read_recipe
from degrade.pairs.errors import PairsError
from degrade.pairs.layout import MANIFEST, RECIPE, Layout
from degrade.pairs.replay import parameters_of
from degrade.recipes import recipe as open_recipe
from degrade.stream.source import Sample, Source
from degrade.text import TextError, read_text


class Pair(NamedTuple):
    """A degraded image with the clean image that it was made from.

    Attributes:
        clean: (C, H, W) float32 in [0, 1].
        degraded: the same.
        mask: (1, H, W) float32, 1 inside the field of view.
        parameters: of the degradation, by name, without the axis of the batch.
        id: of the image.
        view: number of the view, from 0.
        key: `recipe.draw` makes the parameters from it.
    """

    clean: Tensor
    degraded: Tensor
    mask: Tensor
    parameters: dict[str, Tensor]
    id: str
    view: int
    key: int


class PairedDataset(Source, Dataset[Pair]):
    """The pairs in a folder that `degrade.pairs.synthesize` (or `degrade synth`) wrote, as files or as shards.

    A map-style data set: `dataset[i]` is a `Pair`, one per line of the manifest and in its order, which
    `torch.utils.data.DataLoader` joins into batches where the images have one size. Nothing is kept open: images are
    read when they are asked for. Checksums are not compared: `degrade.pairs.verify.verify` does that.

    It is also a source of streams, `PairStream(PairedDataset(path), recipe, batch_size=4)`: ids are ID_v0, ID_v1, ...,
    the image is the clean one, "mask" its field of view, and the stored degraded image comes along under the name
    "degraded" with the same crop and flips (`batch.maps["degraded"]`). `PairStream.from_pairs(PairedDataset(path))`
    takes the stored images as they are instead of degrading the clean ones anew. The path itself is no source, since it
    does not say which of its images are meant.

    Args:
        path: the folder.
        max_pixels: larger images are refused before they are decoded.

    Attributes:
        ids: "ID_vVIEW" of each pair.
        recipe: that made the pairs.

    Raises:
        PairsError: the folder is no finished data set, or has no pairs.
        OSError: the manifest cannot be read.

    >>> import tempfile
    >>> from degrade.pairs import synthesize
    >>> folder = tempfile.mkdtemp()
    >>> outcome = synthesize("phantom:fundus?count=2&size=64", folder, "cofe-net", views=2)
    >>> pairs = PairedDataset(folder)
    >>> len(pairs), pairs[3].id, pairs[3].view, sorted(pairs[3].parameters)[:2]
    (4, 'fundus_0001', 1, ['blur_kernel', 'blur_sigma'])
    >>> from degrade.stream import PairStream
    >>> batch = next(iter(PairStream(pairs, "cofe-net", batch_size=2, crop=32)))
    >>> batch.clean.shape, batch.maps["degraded"].shape
    (torch.Size([2, 3, 32, 32]), torch.Size([2, 3, 32, 32]))
    """

    def __init__(self, path: str | os.PathLike[str], max_pixels: int = 100_000_000) -> None:
        root = Path(path)
        made = read_recipe(root)
        if made is None or not (root / MANIFEST).is_file():
            raise PairsError(
                "path", f"{str(root)!r} is no finished data set of 'degrade synth': no {RECIPE}, {MANIFEST}"
            )
        self._layout = Layout(root, str(made["synth"].get("format", "png")))
        self._max_pixels = max_pixels
        self._starts = array("q")
        ids: list[str] = []
        for start, line in manifest.read(root / MANIFEST):
            self._starts.append(start)
            ids.append(f"{line.id}_v{line.view}")
        if not ids:
            raise PairsError("path", f"{str(root)!r} has no pairs")
        self.ids, self.title, self.path = ids, f"the pairs in {str(root)!r}", root

    @cached_property
    def recipe(self) -> Degradation:
        """The recipe that made the pairs."""
        return open_recipe(read_text(self._layout.root / RECIPE))

    def __getitem__(self, index: int) -> Pair:
        """A pair.

        Raises:
            IndexError: there is none of this number.
            ImageError: an image cannot be decoded.
            OSError, ValueError: a file is missing, or the manifest has changed.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        line = self.line(index)
        clean, degraded, mask = (image_io.to_float(self._image(line, name)) for name in ("clean", "degraded", "mask"))
        return Pair(clean, degraded, mask, self.parameters(index), line.id, line.view, line.number)

    def line(self, index: int) -> manifest.Line:
        """The line of the manifest of a pair."""
        place = manifest.Place(self._layout.root / MANIFEST, self._starts[index], "", 0)
        line = manifest.at(place)
        if f"{line.id}_v{line.view}" != self.ids[index]:
            raise TextError(f"{str(place.file)!r} has changed since it was opened")
        return line

    def load(self, index: int) -> Sample:
        """As a source: the clean image, its mask, and the degraded image as floating point, which has no scale."""
        line = self.line(index)
        degraded = image_io.to_float(self._image(line, "degraded"))
        return {"image": self._image(line, "clean"), "mask": self._image(line, "mask"), "degraded": degraded}

    def parameters(self, index: int) -> dict[str, Tensor]:
        """The parameters of the degradation of a pair, each without the axis of the batch."""
        batch = parameters_of(self.recipe, self.line(index).record())
        return {name: value[0] for name, value in batch.items()}

    @cached_property
    def image_ids(self) -> list[str]:
        """Of each pair the id of its image, without the view."""
        return [id_.rpartition("_v")[0] for id_ in self.ids]

    def file(self, index: int) -> Path:
        return storage.path_of(self._layout, self.line(index), "clean")

    def _image(self, line: manifest.Line, name: str) -> Tensor:
        return storage.load(self._layout, line, name, self._max_pixels)
