"""Public data sets of fundus photographs as they are distributed: where images, fields of view and labels are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from degrade.images import image_io
from degrade.settings import closest
from degrade.stream.patterns import PatternSource, find
from degrade.stream.source import SourceError


def _any(image: Tensor) -> Tensor:
    """What is not black in any channel, as IDRiD's red labels."""
    return (image.int().amax(0, keepdim=True) > 0).to(torch.uint8) * 255


def _half(image: Tensor) -> Tensor:
    """Levels from half on, as of DRISHTI's means of several experts."""
    return (image.int().amax(0, keepdim=True) >= 128).to(torch.uint8) * 255


def _below(level: int, image: Tensor) -> Tensor:
    """Levels below a limit, as of REFUGE's labels: 0 the cup, 128 the disc around it, 255 the rest."""
    return (image.int().amin(0, keepdim=True) < level).to(torch.uint8) * 255


@dataclass(frozen=True)
class Part:
    """Images or maps of a layout.

    Attributes:
        regex: of the file's name, in any folder, with a group "id".
        example: such a name.
        convert: function that makes a black-and-white map of the file's image; None where it is one.
    """

    regex: str
    example: str
    convert: Callable[[Tensor], Tensor] | None = None

    def find(self, root: Path, what: str) -> dict[str, Path]:
        """The files, by id; SourceError where there are none, or two for one id."""
        return find(root, [re.compile(f"(?:.*/)?{self.regex}", re.IGNORECASE)], what, repr(self.example))


@dataclass(frozen=True)
class Layout:
    """A data set: its photographs, and its maps by name ("mask" is the field of view)."""

    image: Part
    maps: Mapping[str, Part] = field(default_factory=dict)


_IDRID, _REFUGE, _DRISHTI = r"(?P<id>IDRiD_\d+)", r"(?P<id>[gnTV]\d{4})", r"(?P<id>drishtiGS_\d+)"
_REFUGE_LABELS = rf"{_REFUGE}\.(?:bmp|png)"

LAYOUTS: Mapping[str, Layout] = {
    "drive": Layout(
        Part(r"(?P<id>\d+)_(?:training|test)\.tif", "21_training.tif"),
        {
            "mask": Part(r"(?P<id>\d+)_(?:training|test)_mask\.gif", "21_training_mask.gif"),
            "vessels": Part(r"(?P<id>\d+)_manual1\.gif", "21_manual1.gif"),
        },
    ),
    "chase": Layout(
        Part(r"(?P<id>Image_\d+[LR])\.jpg", "Image_01L.jpg"),
        {"vessels": Part(r"(?P<id>Image_\d+[LR])_1stHO\.png", "Image_01L_1stHO.png")},
    ),
    "hrf": Layout(
        Part(r"(?P<id>\d+_(?:h|dr|g))\.jpe?g", "01_h.jpg"),
        {
            "mask": Part(r"(?P<id>\d+_(?:h|dr|g))_mask\.tif", "01_h_mask.tif"),
            "vessels": Part(r"(?P<id>\d+_(?:h|dr|g))\.tif", "01_h.tif"),
        },
    ),
    "stare": Layout(
        Part(r"(?P<id>im\d+)\.ppm", "im0001.ppm"),
        {"vessels": Part(r"(?P<id>im\d+)\.ah\.ppm", "im0001.ah.ppm")},
    ),
    "idrid": Layout(
        Part(rf"{_IDRID}\.jpe?g", "IDRiD_01.jpg"),
        {
            "disc": Part(rf"{_IDRID}_OD\.tif", "IDRiD_01_OD.tif", _any),
            "microaneurysms": Part(rf"{_IDRID}_MA\.tif", "IDRiD_01_MA.tif", _any),
            "haemorrhages": Part(rf"{_IDRID}_HE\.tif", "IDRiD_01_HE.tif", _any),
            "hard_exudates": Part(rf"{_IDRID}_EX\.tif", "IDRiD_01_EX.tif", _any),
            "soft_exudates": Part(rf"{_IDRID}_SE\.tif", "IDRiD_01_SE.tif", _any),
        },
    ),
    "refuge": Layout(
        Part(rf"{_REFUGE}\.jpe?g", "g0001.jpg"),
        {
            "disc": Part(_REFUGE_LABELS, "g0001.bmp", partial(_below, 192)),
            "cup": Part(_REFUGE_LABELS, "g0001.bmp", partial(_below, 64)),
        },
    ),
    "drishti": Layout(
        Part(rf"{_DRISHTI}\.png", "drishtiGS_002.png"),
        {
            "disc": Part(rf"{_DRISHTI}_ODsegSoftmap\.png", "drishtiGS_002_ODsegSoftmap.png", _half),
            "cup": Part(rf"{_DRISHTI}_cupsegSoftmap\.png", "drishtiGS_002_cupsegSoftmap.png", _half),
        },
    ),
}
"""By name. Names of files count, folders do not: the whole data set or a part of it may be given."""


def layout_of(name: str) -> Layout:
    """A layout by name; SourceError where there is none."""
    if name not in LAYOUTS:
        raise SourceError(f"unknown layout {name!r}{closest(name, LAYOUTS)}")
    return LAYOUTS[name]


def _expected(example: str, id_: str) -> str:
    return f"a file for {id_!r}, of a name such as {example!r}"


def open_part(
    root: str | os.PathLike[str],
    name: str,
    what: str = "image",
    *,
    max_pixels: int = 100_000_000,
    window: image_io.Window | None = None,
) -> PatternSource:
    """The photographs, or the maps of one kind, of a data set in a folder.

    Args:
        root: the folder, or one above it.
        name: of the layout.
        what: "image", or the name of a map.
        max_pixels, window: as of `open_source`.

    Raises:
        SourceError: unknown names; no file of that kind, a compressed one, or two for one id.
    """
    layout = layout_of(name)
    if what != "image" and what not in layout.maps:
        raise SourceError(f"layout {name!r} has no map {what!r}; it has {', '.join(layout.maps)}")
    part = layout.image if what == "image" else layout.maps[what]
    title = f"layout {name!r}, {'images' if what == 'image' else what}"
    files = part.find(Path(root), title)
    return PatternSource(
        Path(root),
        files,
        f"{os.fspath(root)!r} ({title})",
        expected=partial(_expected, part.example),
        convert=part.convert,
        max_pixels=max_pixels,
        window=window,
    )
