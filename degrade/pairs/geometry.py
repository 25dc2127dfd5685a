"""prepared.jsonl: where the squares of prepared photographs are from, a line for each."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated

import msgspec
import torch

from degrade.fov.crop import Crop
from degrade.pairs.errors import PairsError
from degrade.pairs.layout import stays_inside
from degrade.text import TextError, parse_json, read_text

GEOMETRY = "prepared.jsonl"
"""Name of the file with a line of geometry for each image."""

_LARGEST = 1 << 30
_Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class Geometry(msgspec.Struct, frozen=True):
    """A line of prepared.jsonl.

    Attributes:
        id: of the image; its square is images/ID.png, its mask masks/ID.png.
        source: its name in the source.
        height, width: of the photograph, pixels.
        box: top, left, height and width of the field of view in it, pixels.
        size: side of the square, pixels.
    """

    id: str
    source: str
    height: _Count
    width: _Count
    box: tuple[_Count, _Count, _Count, _Count]
    size: _Count

    def crop(self) -> Crop:
        """For `degrade.fov.uncrop`."""
        return Crop(torch.tensor([self.box]), self.height, self.width)


def read_geometry(prepared: str | os.PathLike[str]) -> dict[str, Geometry]:
    """The lines of prepared.jsonl in a folder that `prepare` wrote, by id.

    Raises:
        PairsError: there is none, or a line of it is damaged.
    """
    path = Path(prepared) / GEOMETRY
    try:
        text = read_text(path, _LARGEST)
    except (OSError, TextError) as error:
        what = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise PairsError("prepared", f"cannot read {str(path)!r}: {what}") from None
    found: dict[str, Geometry] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            one = parse_json(line, Geometry)
        except TextError as error:
            raise PairsError("prepared", f"{str(path)!r}, line {number}: {error}") from None
        if not stays_inside(one.id) or not _fits(one):
            raise PairsError("prepared", f"{str(path)!r}, line {number}: a box outside the image, or an id outside")
        found[one.id] = one
    return found


def line_of(one: Geometry) -> bytes:
    """The line of an image, with its end."""
    return json.dumps(msgspec.to_builtins(one), ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _fits(one: Geometry) -> bool:
    top, left, height, width = one.box
    return top + height <= one.height and left + width <= one.width and min(height, width, one.size) > 0
