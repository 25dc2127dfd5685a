"""`degrade.show`: images and batches side by side as one picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from degrade.display import MOST_ROWS, Tile, sheet
from degrade.entry import to_floats
from degrade.stream.batch import Record

if TYPE_CHECKING:
    from PIL.Image import Image


def show(*images: Any, size: int = 192) -> Image:
    """Put images side by side in one picture, which notebooks display and `save` writes to a file.

    Args:
        images: a batch of a stream; or images of any kind that `degrade.degrade` takes, one column each. Batches of
            images have a row per sample; a single image has the first row.
        size: of each picture, pixels, at least 32. Pictures keep their proportions on black.

    Returns:
        a Pillow picture of at most eight rows.

    Raises:
        TypeError, ValueError: no images; images that `degrade.degrade` would not take.

    >>> import torch
    >>> clean = torch.rand(2, 3, 64, 64)
    >>> show(clean, torch.rand(2, 3, 64, 64), size=64).size
    (140, 140)
    """
    if size < 32:
        raise ValueError(f"size = {size}: at least 32 pixels")
    if len(images) == 1 and isinstance(images[0], Record):
        return images[0].show(size)
    if not images:
        raise TypeError("show needs a batch, or at least one image")
    columns = [to_floats(image) for image in images]
    most = max(map(len, columns))
    rows = [
        [Tile("", column[place]) for column in columns if place < len(column)] for place in range(min(most, MOST_ROWS))
    ]
    return sheet(rows, size, f"and {most - MOST_ROWS} more" if most > MOST_ROWS else "")
