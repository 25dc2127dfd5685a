"""The scale of a source's maps, 1 or 255 for white: decided from the first images, and checked on every image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from degrade.errors import ImageError
from degrade.images.maps import MapKind
from degrade.stream.source import SourceError

_TELLING = {MapKind.ONES: "holds zeros and ones", MapKind.GREY: "is grey"}
"""Kinds that exclude each other within a source: a grey map that is nearly black looks like one of zeros and ones."""


class Scales:
    """The kinds of a source's maps, by name.

    Args:
        title: of the source, for messages.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._found: dict[str, tuple[MapKind, str]] = {}

    def learn(self, id_: str, kinds: Mapping[str, MapKind]) -> None:
        """Record the kinds of one image's maps.

        Raises:
            SourceError: an image before it has shown the contrary.
        """
        for name, kind in kinds.items():
            if kind in _TELLING:
                known, first = self._found.setdefault(name, (kind, id_))
                if known is not kind:
                    raise SourceError(
                        f"map {name!r} of {self._title} {_TELLING[known]} for {first!r} and {_TELLING[kind]} for "
                        f"{id_!r}: bring all to one scale, 0 to 255"
                    )

    def undecided(self, kinds: Mapping[str, MapKind]) -> bool:
        """Whether it takes more images than one with these kinds to tell the scale."""
        return any(kind in (MapKind.BLACK, MapKind.ONES) for kind in kinds.values())

    def check(self, kinds: Mapping[str, MapKind]) -> None:
        """Raises ImageError where an image's maps contradict what the source has shown."""
        for name, kind in kinds.items():
            known, first = self._found.get(name, (kind, ""))
            if kind in _TELLING and kind is not known:
                raise ImageError(f"map {name!r} {_TELLING[kind]}, and that of {first!r} {_TELLING[known]}")

    def notes(self, names: Iterable[str]) -> list[str]:
        """Messages to log where maps of zeros and ones were scaled to full scale."""
        return [f"map {name!r} of {self._title} holds zeros and ones: read as black and white" for name in names]
