"""Open pairs that exist by a text: pairs:LOW,HIGH, or a folder that `degrade synth` wrote."""

from __future__ import annotations

from pathlib import Path

from degrade.pairs.layout import MANIFEST, RECIPE
from degrade.pairs.paired import PairedDataset
from degrade.stream.existing import PREFIX
from degrade.stream.opening import open_source
from degrade.stream.source import Source


def are_pairs(text: str) -> bool:
    """Whether a text names pairs: "pairs:LOW,HIGH", or a folder with a manifest and a recipe.

    >>> are_pairs("pairs:before,after"), are_pairs("phantom:fundus")
    (True, False)
    """
    if text.startswith(PREFIX):
        return True
    return "\0" not in text and all((Path(text) / name).is_file() for name in (MANIFEST, RECIPE))


def open_pairs(text: str, max_pixels: int = 100_000_000) -> Source:
    """The pairs that a text names: a source of the clean images whose map "degraded" has the other ones.

    Raises:
        SourceError: no images of the same names, or sources that do not exist.
        PairsError: the folder has no finished data set.
    """
    if text.startswith(PREFIX):
        return open_source(text, max_pixels=max_pixels)
    return PairedDataset(text, max_pixels)
