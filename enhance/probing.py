"""Load the first readable image of a source, to learn its channels and maps."""

from __future__ import annotations

from degrade.stream import Source
from degrade.stream.source import Sample

_TRIED = 16


def first_usable(source: Source) -> Sample | None:
    """First readable image of a source, with its maps; None if none of the first 16 can be read.

    >>> from degrade.stream import open_source
    >>> first_usable(open_source("phantom:chest?count=2&size=32"))["image"].shape
    torch.Size([1, 32, 32])
    """
    for index in range(min(_TRIED, len(source))):
        try:
            return source.load(index)
        except Exception:  # any exception: unusable; reading all images reports why
            continue
    return None
