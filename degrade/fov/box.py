"""The bounding box of a field of view."""

from __future__ import annotations

import torch
from torch import Tensor


def boxes(mask: Tensor) -> Tensor:
    """The bounding box of each field of view: int64 (B, 4), top, left, height and width in pixels.

    Args:
        mask: (B, 1, H, W); the field of view is where it is above 0.5, or the whole image where that is nowhere.

    Returns:
        on the mask's device, without waiting for it.

    >>> mask = torch.zeros(2, 1, 8, 12)
    >>> mask[0, :, 2:6, 3:9] = 1
    >>> boxes(mask).tolist()
    [[2, 3, 4, 6], [0, 0, 8, 12]]
    """
    inside = mask.detach()[:, 0] > 0.5
    if not len(inside):
        return torch.zeros(0, 4, dtype=torch.int64, device=mask.device)
    inside = inside | ~inside.flatten(1).any(1)[:, None, None]
    (top, height), (left, width) = _span(inside.any(2)), _span(inside.any(1))
    return torch.stack([top, left, height, width], 1)


def _span(line: Tensor) -> tuple[Tensor, Tensor]:
    """First index and length of what is true: (B, N) bool -> (B,) each."""
    marks = line.to(torch.uint8)
    first, behind = marks.argmax(1), marks.flip(1).argmax(1)
    return first, line.shape[1] - behind - first
