"""The built-in phantoms as a source: data for first runs, tests and documentation."""

from __future__ import annotations

from urllib.parse import parse_qsl

import torch

from degrade import phantom
from degrade.images import image_io
from degrade.ops.constants import SMALLEST_SIDE
from degrade.rng import keyed
from degrade.settings import closest
from degrade.stream.ids import Numbered
from degrade.stream.numbers import whole
from degrade.stream.source import Sample, Source, SourceError
from degrade.text import shown

PREFIX = "phantom:"
_MAPS = {"fundus": ("vessels", "fov"), "chest": ("lungs",), "cornea": ("nerves",)}
_DEFAULTS = {"count": 8, "size": 512, "seed": 0, "film": 0}
_LEAST = {"count": 1, "size": SMALLEST_SIDE, "film": 0}
_MOST = {"count": 10**12, "size": 10_000, "film": 1}


class PhantomSource(Source):
    """Procedural images with their masks, rendered when they are loaded.

    Args:
        kind: "fundus" (with the maps "vessels" and "fov"), "chest" (with "lungs") or "cornea" (with "nerves").
        count: number of images.
        size: their side in pixels.
        seed: other seeds, other pictures.
        film: 1 for chests as on films of many kinds, see `degrade.phantom.chest`.
    """

    def __init__(self, kind: str, count: int, size: int, seed: int, film: int = 0) -> None:
        self._kind, self._size, self._seed, self._film = kind, size, seed, film
        self.title = f"{PREFIX}{kind}?size={size}&seed={seed}" + ("&film=1" if film else "")
        self.ids = Numbered(f"{kind}_", 4, range(count))

    def load(self, index: int) -> Sample:
        key = keyed.make_keys(self._seed, torch.tensor([index]))
        images = getattr(phantom, self._kind)(key, self._size, **({"film": True} if self._film else {}))
        names = ("image", *_MAPS[self._kind])
        return {name: image_io.to_integer(image[0]) for name, image in zip(names, images, strict=True)}

    def origin(self, index: int) -> str:
        return f"{self.title}#{index}"


def open_phantoms(text: str) -> PhantomSource:
    """The source that "phantom:KIND?count=8&size=512&seed=0" names, of chests also "&film=1"."""
    kind, _, query = text.removeprefix(PREFIX).partition("?")
    if kind not in _MAPS:
        raise SourceError(f"unknown phantom {kind!r}{closest(kind, _MAPS)}")
    values = dict(_DEFAULTS)
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in values:
            raise SourceError(f"unknown phantom option {key!r}{closest(key, values)}")
        values[key] = _whole(key, value)
        if key in _LEAST and values[key] < _LEAST[key]:
            raise SourceError(f"phantom option {key}={value}: at least {_LEAST[key]}")
        if key in _MOST and values[key] > _MOST[key]:
            raise SourceError(f"phantom option {key}={value}: at most {_MOST[key]:,}")
    if values["film"] and kind != "chest":
        raise SourceError(f"phantom option film=1: of chests, not of {kind}")
    return PhantomSource(kind, **values)


def _whole(key: str, value: str) -> int:
    """A whole number as people write it, such as 1000 or 1e3."""
    try:
        return int(value)
    except ValueError:
        pass
    try:
        return whole(key, float(value))
    except ValueError:
        raise SourceError(f"phantom option {key}={shown(value)}: a whole number is needed") from None
