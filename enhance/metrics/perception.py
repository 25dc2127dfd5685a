"""PIQE: the perception-based image quality evaluator, which needs no model."""

from __future__ import annotations

import torch
from torch import Tensor

from enhance.metrics.arguments import blocks, check_image, deep_inside, grey255, inside, local_moments

SIDE = 16
SEGMENT = 6
ACTIVE = 0.1
IMPAIRED = 0.1


def piqe(image: Tensor, mask: Tensor | None = None) -> Tensor:
    """(sum of the distortions of the active blocks + 1) / (their number + 1) x 100; lower is better.

    The image, divided by its maximum and rounded to levels of 0..255, is normalized: (I - mean) / (deviation + 1) over
    Gaussian windows of 7 x 7, sigma 7/6. A block of 16 x 16 is active if its variance v is above 0.1. It is distorted,
    by 1 - v, if some 6 pixels in a row along one of its edges have a deviation below 0.1; and, by v, if it looks like
    noise: sqrt(v) > 2 |sqrt(v) - r| / max(sqrt(v), r), r the ratio of the deviations of its center and its surround.

    Setting: as MATLAB's `piqe` and pypiqe: deviations divided by N - 1; the two middle columns are the center; the
    surround is the block without its columns 8 and 10, which is what deleting the 8th and then the 9th column leaves;
    sides completed to multiples of 16 by mirroring. RGB as its ITU-R 601 luma, rounded.

    Args:
        image: (B, C, H, W) in [0, 1], C = 1 or 3, H and W at least 16.
        mask: (B, 1, H, W); only blocks count whose pixels and their windows are inside (at least 0.5), and the
            maximum is the one inside.

    Returns:
        (B,) in about [0, 100], float64; 100 where no block is active (a flat image).

    Source: Venkatanath et al., "Blind image quality evaluation using perception based features", NCC 2015.

    >>> piqe(torch.full((1, 1, 64, 64), 0.5))
    tensor([100.], dtype=torch.float64)
    """
    check_image("image", image, SIDE)
    field = inside(mask, image)
    grey = grey255(image).round()
    brightest = (grey * field).amax(dim=(1, 2, 3), keepdim=True).clamp_min(1.0)
    levels = _completed((255 * (grey / brightest)).round())
    mean, deviation = local_moments(levels)
    tiles = blocks((levels - mean) / (deviation + 1), SIDE)
    counted = blocks(deep_inside(_completed(field), 3), SIDE).all(dim=(2, 3))
    variance = tiles.var(dim=(2, 3))
    active = counted & (variance > ACTIVE)
    distortion = _has_flat_edge(tiles) * (1 - variance) + _is_noisy(tiles, variance) * variance
    return 100 * ((distortion * active).sum(dim=1) + 1) / (active.sum(dim=1) + 1)


def _completed(plane: Tensor) -> Tensor:
    """(B, 1, H, W) mirrored at its lower and right end up to multiples of 16."""
    for dim in (-1, -2):
        missing = -plane.shape[dim] % SIDE
        plane = torch.cat([plane, plane.flip(dim).narrow(dim, 0, missing)], dim=dim)
    return plane


def _has_flat_edge(tiles: Tensor) -> Tensor:
    edges = torch.stack([tiles[..., 0, :], tiles[..., -1, :], tiles[..., :, 0], tiles[..., :, -1]], dim=2)
    return (edges.unfold(-1, SEGMENT, 1).std(dim=-1) < IMPAIRED).any(dim=-1).any(dim=-1)


def _is_noisy(tiles: Tensor, variance: Tensor) -> Tensor:
    center = tiles[..., 7:9].flatten(2).std(dim=2)
    surround = tiles[..., [0, 1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15]].flatten(2).std(dim=2)
    ratio = center / surround
    deviation = variance.sqrt()
    return deviation > 2 * (deviation - ratio).abs() / torch.maximum(deviation, ratio)
