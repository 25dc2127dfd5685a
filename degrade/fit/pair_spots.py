"""Bright spots of one pair: where something is brighter than the rest of the recipe explains."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from degrade.fit.pair_descent import Target
from degrade.fit.pair_space import Reach
from degrade.ops.blur import gaussian_blur
from degrade.parameters import Parameters

_LEAST = 3 / 255  # height of a spot that is looked for
_FAINT = 1.5 / 255  # height of one that is kept
_SIZES = (0.2, 0.4, 0.6, 0.8)  # of the way from the smallest to the largest spot


def add_spots(target: Target, parameters: Parameters, reach: Reach, most: int) -> Parameters:
    """Put spots where a picture is brighter than its parameters explain, the clearest first.

    A spot has the size, of four, whose smoothed difference stands out most from white noise; its picture is taken from
    the difference before the next is looked for.

    Args:
        target: the pair.
        parameters: (1, ...) of everything found so far, its spots included.
        reach: of spot_radius and spot_kernel.
        most: spots altogether.

    Returns:
        the same parameters with up to `most` spots.
    """
    left = (target.degraded - target.render(parameters)).mean(1, keepdim=True) * target.compared
    sizes = [_size(reach, share) for share in _SIZES]
    spots = {name: value for name, value in parameters.items() if name.startswith("spot_") and value.ndim > 1}
    while spots["spot_radius"].shape[1] < most:
        found = _brightest(left, target.compared, sizes)
        if found is None:
            break
        (x, y), (radius, kernel), height = found
        new = {
            "spot_center": torch.tensor([[[x, y]]]),
            "spot_radius": torch.tensor([[radius]]),
            "spot_height": torch.tensor([[height]]),
            "spot_kernel": torch.tensor([[[kernel, kernel]]]),
            "spot_sigma": torch.tensor([[4 * kernel]]),
        }
        spots = {name: torch.cat([value, new[name].to(value)], dim=1) for name, value in spots.items()}
        left = left - _picture(left, (x, y), _deviation(radius, kernel), height)
    return _counted({**parameters, **spots})


def drop_faint(parameters: Parameters) -> Parameters:
    """Without the spots that are hardly there."""
    kept = parameters["spot_height"][0] > _FAINT
    spots = {name: value[:, kept] for name, value in parameters.items() if name.startswith("spot_") and value.ndim > 1}
    return _counted({**parameters, **spots})


def no_spots(parameters: Parameters) -> Parameters:
    """Without any."""
    return _counted(
        {
            name: value[:, :0] if name.startswith("spot_") and value.ndim > 1 else value
            for name, value in parameters.items()
        }
    )


def _counted(parameters: Parameters) -> Parameters:
    return {**parameters, "spot_count": torch.tensor([parameters["spot_radius"].shape[1]])}


def _size(reach: Reach, share: float) -> tuple[float, float]:
    ends = [(reach.low[name].min(), reach.high[name].max()) for name in ("spot_radius", "spot_kernel")]
    radius, kernel = (float(low + (high - low) * share) for low, high in ends)
    return radius, kernel


def _deviation(radius: float, kernel: float) -> float:
    """Standard deviation along one axis of a disk after a box's blur."""
    return math.sqrt(radius**2 / 4 + kernel**2 / 12)


def _brightest(
    left: Tensor, mask: Tensor, sizes: list[tuple[float, float]]
) -> tuple[tuple[float, float], tuple[float, float], float] | None:
    best: tuple[float, int, tuple[float, float], float] | None = None
    height, width = left.shape[-2:]
    for number, size in enumerate(sizes):
        smooth = _smoothed(left, _deviation(*size))
        peak, place = (smooth * mask).flatten().max(0)
        row, column = divmod(int(place), width)
        score = float(peak) * _deviation(*size)
        if best is None or score > best[0]:
            best = (score, number, ((column + 0.5) / width, (row + 0.5) / height), 2 * float(peak))
    assert best is not None
    return None if best[3] < _LEAST else (best[2], sizes[best[1]], best[3])


def _smoothed(left: Tensor, deviation: float) -> Tensor:
    return gaussian_blur(left, torch.full((1, 2), 6 * deviation), torch.tensor([deviation]))


def _picture(left: Tensor, center: tuple[float, float], deviation: float, height: float) -> Tensor:
    rows, columns = (torch.arange(edge) + 0.5 for edge in left.shape[-2:])
    side = min(left.shape[-2:])
    dx, dy = columns - center[0] * left.shape[-1], rows - center[1] * left.shape[-2]
    return height * torch.exp(-0.5 * (dx[None, :] ** 2 + dy[:, None] ** 2) / (deviation * side) ** 2)
