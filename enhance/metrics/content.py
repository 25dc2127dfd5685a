"""Metrics without a reference: entropy of grey levels, and average gradient."""

from __future__ import annotations

import torch
from torch import Tensor

from enhance.metrics.arguments import check_image, grey255, inside


def entropy(image: Tensor, mask: Tensor | None = None) -> Tensor:
    """Shannon entropy of the grey levels, -sum p_k log2 p_k bits, over 256 bins.

    Setting: RGB as its ITU-R 601 luma; levels rounded to whole ones of 0..255, whatever the depth of the file.

    Args:
        image: (B, C, H, W) in [0, 1], C = 1 or 3.
        mask: (B, 1, H, W); pixels where it is below 0.5 do not count.

    Returns:
        (B,) bits in [0, 8], float64; nan where the mask is empty. More is better only as long as it is not noise.

    >>> entropy(torch.tensor([0.0, 1.0]).repeat(1, 1, 8, 4))
    tensor([1.], dtype=torch.float64)
    """
    check_image("image", image)
    levels = grey255(image).round().clamp(0, 255).long().flatten(1)
    counted = inside(mask, image).flatten(1).to(torch.float32)
    histogram = counted.new_zeros(len(image), 256).scatter_add_(1, levels, counted).to(grey255(image[:0]).dtype)
    share = histogram / histogram.sum(dim=1, keepdim=True)
    return -torch.xlogy(share, share).sum(dim=1) / torch.log(share.new_tensor(2.0))


def average_gradient(image: Tensor, mask: Tensor | None = None) -> Tensor:
    """AvG = mean sqrt((dx^2 + dy^2) / 2), dx and dy the differences to the right and to the lower neighbor.

    Setting: in grey levels of 0..255, not rounded; RGB as its ITU-R 601 luma; the last row and column have no
    neighbor and do not count.

    Args:
        image: (B, C, H, W) in [0, 1], C = 1 or 3, H and W at least 2.
        mask: (B, 1, H, W); a pixel counts where it and both neighbors are inside (at least 0.5), so that the rim of
            the field does not.

    Returns:
        (B,) grey levels per pixel, float64; nan where no pixel counts. Noise raises it too.

    >>> average_gradient(torch.arange(16.0).expand(1, 1, 16, 16) / 255).round(decimals=4)
    tensor([0.7071], dtype=torch.float64)
    """
    check_image("image", image, 2)
    grey = grey255(image)
    across = grey[..., :-1, 1:] - grey[..., :-1, :-1]
    down = grey[..., 1:, :-1] - grey[..., :-1, :-1]
    field = inside(mask, image)
    counted = field[..., :-1, :-1] & field[..., :-1, 1:] & field[..., 1:, :-1]
    steps = ((across.square() + down.square()) / 2).sqrt() * counted
    return steps.sum(dim=(1, 2, 3)) / counted.sum(dim=(1, 2, 3))
