"""The frame: the square around a field of view that lengths, points and means of a degradation refer to.

The released code of Cofe-Net crops a photograph to its disc and pads it to a square before anything else. A frame is
that square, found from the mask; how much black a camera has left around the disc changes nothing in it.
"""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST = 32
"""Pixels of a side: what images have at least."""


def of_mask(mask: Tensor) -> Tensor:
    """The square around each mask's bounding box, centered on it, at least 32 pixels wide.

    Args:
        mask: (B, 1, H, W); above 0.5 is inside.

    Returns:
        (B, 4) int64 on the mask's device: left, top, width and height in pixels. A square may reach beyond the image
        where the disc is cut off: that part counts as black. An empty mask has that around the whole image.

    >>> mask = torch.zeros(1, 1, 40, 60)
    >>> mask[..., 10:30, 20:50] = 1
    >>> of_mask(mask).tolist()
    [[19, 4, 32, 32]]
    """
    inside = mask.detach()[:, 0] > 0.5
    left, width = _extent(inside.any(dim=1))
    top, height = _extent(inside.any(dim=2))
    side = torch.maximum(width, height).clamp_min(_LEAST)
    return torch.stack([left - (side - width) // 2, top - (side - height) // 2, side, side], dim=1)


def _extent(line: Tensor) -> tuple[Tensor, Tensor]:
    """The first True of each row (B, N) and how many there are up to the last; 0 and N where there is none."""
    size = line.shape[1]
    if not len(line):
        empty = torch.zeros(0, dtype=torch.int64, device=line.device)
        return empty, empty
    found, number = line.any(dim=1), line.to(torch.uint8)
    first = torch.where(found, number.argmax(dim=1), 0)
    last = torch.where(found, size - 1 - number.flip(1).argmax(dim=1), size - 1)
    return first, last - first + 1
