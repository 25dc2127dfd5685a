"""The frame: the square around a field of view that lengths, points and means of a degradation refer to.

The released code of Cofe-Net crops a photograph to its disc and pads it to a square before anything else. A frame is
that square, found from the mask; how much black a camera has left around the disc changes nothing in it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from degrade.fov.box import boxes
from degrade.ops.constants import SMALLEST_SIDE


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
    top, left, height, width = boxes(mask).unbind(1)
    side = torch.maximum(width, height).clamp_min(SMALLEST_SIDE)
    return torch.stack([left - (side - width) // 2, top - (side - height) // 2, side, side], dim=1)
