"""The inverse of fitting an image into a square."""

from __future__ import annotations

import torch
from torch import Tensor


def unfit(image: Tensor, height: int, width: int) -> Tensor:
    """Inverse of `degrade.images.image_io.resize`: crop the padding and scale (B, C, S, S) to (B, C, height, width).

    >>> unfit(torch.ones(1, 1, 8, 8), 10, 20).shape
    torch.Size([1, 1, 10, 20])
    """
    size = image.shape[-1]
    longer = max(height, width)
    inner = [max(1, round(side * size / longer)) for side in (height, width)]
    top, left = (size - inner[0]) // 2, (size - inner[1]) // 2
    image = image[..., top : top + inner[0], left : left + inner[1]]
    return torch.nn.functional.interpolate(image, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
