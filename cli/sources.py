"""Reading of the argument SOURCE: the images of a file, a folder, a text list, shards or phantoms, with ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from degrade import stream
from degrade.images import image_io
from degrade.pairs.items import Item, Items

from .options import Refusal

__all__ = ["PAIRS_HELP", "SOURCE_HELP", "Item", "Items", "Source", "open_source"]

SOURCE_HELP = """\b
SOURCE is one of
  an image file
  a folder: every image in it and in its subfolders, hidden ones apart
  a text file (.txt, .lst, .list): a path per line, relative to its folder; # begins a comment
  a name pattern, such as 'images/{id}_training.tif' (quote it for the shell): by what stands for {id}
  shards: WebDataset files, such as "shards/{000..015}.tar" (quote it for the shell)
  phantom:fundus?count=8&size=512&seed=0   procedural photographs, for a first look (quote it for the shell);
                                           phantom:chest and phantom:cornea likewise; of chests &film=1
                                           draws what films of many kinds add
"""
"""For the help of commands that take a SOURCE."""

PAIRS_HELP = """\b
SOURCE may have pairs that exist, too:
  pairs:LOW,HIGH   two of the above with images of the same names and sizes
  a folder that 'degrade synth' wrote
"""
"""For the help of commands that take pairs."""


@dataclass(frozen=True)
class Source:
    """The images of SOURCE in order; number and first names of the files left out; the folder or file itself."""

    items: Items
    others: int = 0
    path: Path | None = None
    left_out: Sequence[str] = ()


def open_source(
    text: str, window: image_io.Window | None = None, max_pixels: int = 100_000_000, limit: int | None = None
) -> Source:
    """Open SOURCE with `degrade.stream.open_source`; its errors become refusals of the argument."""
    try:
        found = stream.open_source(text, window=window, max_pixels=max_pixels)
    except (stream.SourceError, ModuleNotFoundError) as error:
        raise Refusal("SOURCE", str(error)) from None
    return Source(Items(found, limit), found.others, found.path, getattr(found, "left_out", ()))
