"""SOURCE -> items: the images of a file, a folder, a text list or a phantom, each with its id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from cli.options import Refusal
from degrade import image_io, stream

SOURCE_HELP = """\b
SOURCE is one of
  an image file
  a folder: every image in it and in its subfolders, hidden ones apart
  a text file (.txt, .lst, .list): a path per line, relative to its folder; # begins a comment
  shards: WebDataset files, such as "shards/{000..015}.tar" (quote it for the shell)
  phantom:fundus?count=8&size=512&seed=0   procedural photographs, for a first look (quote it for the shell);
                                           phantom:chest and phantom:cornea likewise
"""
"""For the help of commands that take a SOURCE."""


@dataclass(frozen=True)
class Item:
    """One image of SOURCE: `id` is what it is called in DEST, `source` what it is called in SOURCE."""

    index: int
    id: str
    source: str
    path: Path | None
    origin: stream.Source

    def load(self) -> Tensor:
        """uint8 or uint16 (C, H, W); `image_io.ImageError`, without the path, where that fails."""
        return self.origin.load(self.index)["image"]


@dataclass(frozen=True)
class Source:
    """The items of SOURCE in order; how many files of a folder were passed over; the folder or file itself."""

    items: list[Item]
    others: int = 0
    path: Path | None = None


def open_source(text: str, window: image_io.Window | None = None, max_pixels: int = 100_000_000) -> Source:
    """Reads what SOURCE names, as `degrade.stream.open_source` does. Nothing is decoded yet."""
    try:
        found = stream.open_source(text, window=window, max_pixels=max_pixels)
    except (stream.SourceError, ModuleNotFoundError) as error:
        raise Refusal("SOURCE", str(error)) from None
    items = [Item(i, id_, found.origin(i), found.file(i), found) for i, id_ in enumerate(found.ids)]
    return Source(items, found.others, found.path)
