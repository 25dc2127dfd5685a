"""The 36 features of each patch of an image that NIQE compares."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from enhance.metrics.arguments import blocks, deep_inside, grey255, inside, local_moments

FEATURES = 36
MARGIN = 10  # pixels beyond a patch that its features see: 7 x 7 windows at half size, and what halving mixes in

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))  # rows down, columns right


def patch_features(image: Tensor, mask: Tensor | None, patch: int) -> tuple[Tensor, Tensor, Tensor]:
    """The natural scene statistics of each patch, at the full and at half the size.

    The image is normalized, (I - mean) / (deviation + 1) over Gaussian windows of 7 x 7, sigma 7/6, edges replicated.
    In each patch an asymmetric generalised Gaussian (AGGD) is fitted to these values, giving its shape and mean scale,
    and to their products with the right, lower, lower right and lower left neighbors within the patch, giving shape,
    mean, left and right scale: 2 + 4 x 4 = 18 features at each size. Half the size is made with an anti-aliased
    bicubic filter.

    Args:
        image: (B, C, H, W) in [0, 1], C = 1 or 3.
        mask: (B, 1, H, W), or none.
        patch: side of the patches in pixels, even.

    Returns:
        features (B, N, 36) float64; sharpness (B, N), the mean local deviation; usable (B, N) bool, false for patches
        that are not wholly inside the mask or that have no contrast, whose features are 0.

    Source: Mittal et al., IEEE SPL 20(3), 2013, section II.
    """
    height, width = (side - side % patch for side in image.shape[-2:])
    grey = grey255(image)[..., :height, :width]
    counted = blocks(deep_inside(inside(mask, image), MARGIN), patch).all(dim=(2, 3))
    features = []
    sharpness = torch.empty(0)  # of the larger patches, which come first
    for side in (patch, patch // 2):
        mean, deviation = local_moments(grey)
        features.append(_statistics(blocks((grey - mean) / (deviation + 1), side)))
        if side == patch:
            sharpness = blocks(deviation, side).mean(dim=(2, 3))
            grey = F.interpolate(grey, (height // 2, width // 2), mode="bicubic", antialias=True, align_corners=False)
    table = torch.cat(features, dim=-1)
    usable = counted & table.isfinite().all(dim=-1)
    return torch.where(usable[..., None], table, 0.0), sharpness, usable


def _statistics(tiles: Tensor) -> Tensor:
    """(B, N, s, s) normalized patches -> (B, N, 18)."""
    shape, left, right = fit_aggd(tiles.flatten(2))
    columns = [shape, (left + right) / 2]
    side = tiles.shape[-1]
    for down, across in _NEIGHBOURS:
        start = max(0, -across)
        here = tiles[..., : side - down, start : side - max(0, across)]
        there = tiles[..., down:, start + across : side - max(0, across) + across]
        shape, left, right = fit_aggd((here * there).flatten(2))
        mean = (right - left) * (torch.lgamma(2 / shape) - torch.lgamma(1 / shape)).exp()
        columns += [shape, mean, left, right]
    return torch.stack(columns, dim=-1)


def fit_aggd(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Fit an asymmetric generalized Gaussian by moments.

    Its density is proportional to exp(-(|x| / beta)^alpha), beta = beta_left below and beta_right above zero.

    Args:
        values: (..., P).

    Returns:
        alpha (a multiple of 0.001 in [0.2, 10]), beta_left, beta_right, (...) each; not finite where the values have
        only one sign.

    Source: Lasmar, Stitou and Berthoumieu, "Multiscale skewed heavy tailed model for texture analysis", ICIP 2009.
    """
    squares = values.square()
    low, high = values < 0, values > 0
    left = ((squares * low).sum(dim=-1) / low.sum(dim=-1)).sqrt()
    right = ((squares * high).sum(dim=-1) / high.sum(dim=-1)).sqrt()
    skew = left / right
    ratio = values.abs().mean(dim=-1).square() / squares.mean(dim=-1)
    ratio = ratio * (skew**3 + 1) * (skew + 1) / (skew.square() + 1).square()
    shapes = torch.arange(200, 10001, dtype=values.dtype, device=values.device) / 1000
    ratios = (2 * torch.lgamma(2 / shapes) - torch.lgamma(1 / shapes) - torch.lgamma(3 / shapes)).exp()
    halfway = (ratios[1:] + ratios[:-1]) / 2  # ratios grow with the shape: the nearest one is between its halfways
    alpha = shapes[torch.searchsorted(halfway, ratio.contiguous())]
    scale = ((torch.lgamma(1 / alpha) - torch.lgamma(3 / alpha)) / 2).exp()
    return alpha, left * scale, right * scale
