"""first_usable: what the images of a source look like, to judge by the first one that can be read."""

from __future__ import annotations

from degrade.stream import Source
from degrade.stream.source import Sample

_TRIED = 16


def first_usable(source: Source) -> Sample | None:
    """The first image of a source that can be read, with its maps; None if none of the first few can.

    >>> from degrade.stream import open_source
    >>> first_usable(open_source("phantom:chest?count=2&size=32"))["image"].shape
    torch.Size([1, 32, 32])
    """
    for index in range(min(_TRIED, len(source))):
        try:
            return source.load(index)
        except Exception:  # any exception means that this one cannot be used; what reads all of them says why
            continue
    return None
