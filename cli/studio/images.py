"""The images of the page: those of SOURCE, phantoms, and files that were dropped on it."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import PurePosixPath

import torch
from torch import Tensor
from torch.nn import functional

from degrade import phantom
from degrade.images import image_io
from degrade.pairs.items import Items
from degrade.stream import open_source

LARGEST_UPLOAD = 64 << 20
"""Bytes of a file that the page may send."""
LARGEST_SIDE = 4096
"""Pixels of the longer side of the pictures shown."""

_MOST_PIXELS = 50_000_000
_MOST_LISTED = 200
_KEPT = 4
_PHANTOM_SIDE = 512
_PHANTOMS = phantom.__all__


@dataclass(frozen=True)
class Opened:
    """An image (C, H, W) of uint8 or uint16, its id, what `degrade synth` calls its source, and Python to load it."""

    image: Tensor
    id: str
    source: str
    python: str


class Images:
    """Images by the handles that the page knows them by; no handle is or becomes the path of a file.

    Args:
        text: SOURCE as it was given; None for phantoms alone.
        items: its images, of which the page lists the first.

    >>> images = Images()
    >>> images.open("phantom:chest:3").image.shape, images.handles()[0]
    (torch.Size([1, 512, 512]), {'handle': 'phantom:fundus:0', 'name': 'fundus phantom'})
    """

    def __init__(self, text: str | None = None, items: Items | None = None) -> None:
        self._text, self._items = text, [] if items is None else list(islice(items, _MOST_LISTED))
        self._uploads: OrderedDict[str, Opened] = OrderedDict()
        self._decoded = lru_cache(maxsize=_KEPT)(self._decode)

    def handles(self) -> list[dict[str, str]]:
        """Handle and name of every image that can be chosen, those of SOURCE first."""
        found = [{"handle": f"source:{place}", "name": item.id} for place, item in enumerate(self._items)]
        found += [{"handle": handle, "name": opened.id} for handle, opened in self._uploads.items()]
        return found + [{"handle": f"phantom:{kind}:0", "name": f"{kind} phantom"} for kind in _ordered()]

    def open(self, handle: str) -> Opened:
        """The image of a handle; ValueError where there is none, or where it cannot be decoded."""
        if handle in self._uploads:
            return self._uploads[handle]
        return self._decoded(handle)

    def add(self, name: str, data: bytes) -> str:
        """Decode a file that the page sent, and keep it; its handle. ValueError where it is no image."""
        image = image_io.read_bytes(data, max_pixels=_MOST_PIXELS)
        label = _label(name)
        opened = Opened(image, PurePosixPath(label).stem or "image", label, f"image_io.read({label!r})")
        handle = f"upload:{secrets.token_hex(8)}"
        self._uploads[handle] = opened
        while len(self._uploads) > _KEPT:
            self._uploads.popitem(last=False)
        return handle

    def _decode(self, handle: str) -> Opened:
        kind, _, rest = handle.partition(":")
        if kind == "source" and rest.isdecimal() and int(rest) < len(self._items):
            item = self._items[int(rest)]
            file = item.origin.file(item.index)
            loaded = f"open_source({self._text!r}).load({item.index})['image']"
            python = loaded if file is None else f"image_io.read({str(file)!r})"
            return Opened(item.load(), item.id, self._text or "", python)
        if match := re.fullmatch(r"(\w+):(\d{1,9})", rest if kind == "phantom" else ""):
            if match[1] not in _PHANTOMS:
                raise ValueError(f"unknown phantom {match[1]!r}; there are {', '.join(_ordered())}")
            text = f"phantom:{match[1]}?count=1&size={_PHANTOM_SIDE}&seed={match[2]}"
            source = open_source(text)
            return Opened(source.load(0)["image"], source.ids[0], text, f"open_source({text!r}).load(0)['image']")
        raise ValueError("this image is not open any more: choose one, or load the file again")


def fitted(image: Tensor, size: int) -> Tensor:
    """An integer image as floats (1, C, H, W) whose longer side has at most `size` pixels; never enlarged.

    >>> fitted(torch.zeros(3, 100, 200, dtype=torch.uint8), 64).shape
    torch.Size([1, 3, 32, 64])
    """
    batch = image_io.to_float(image)[None]
    height, width = batch.shape[-2:]
    share = size / max(height, width)
    if share >= 1:
        return batch
    shape = [max(1, round(side * share)) for side in (height, width)]
    smaller = functional.interpolate(batch, shape, mode="bilinear", antialias=True)
    return image_io.to_float(image_io.to_integer(smaller, 16 if image.dtype == torch.uint16 else 8))


def _ordered() -> list[str]:
    """The kinds of phantoms, that of the first recipe first."""
    return ["fundus", *(kind for kind in _PHANTOMS if kind != "fundus")]


def _label(name: str) -> str:
    """The last part of a file's name, printable: a label and an id, which nothing is opened by."""
    last = name.replace("\\", "/").rpartition("/")[2]
    return "".join(character for character in last if character.isprintable())[:200] or "image"
