"""Minimise a function without derivatives: an evolution strategy that adapts its covariance, in one short function.

Hansen, "The CMA evolution strategy: a tutorial", arXiv 1604.00772, with its default constants.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Found:
    """What a search ended with.

    Args:
        best: (D,) the point with the smallest value.
        middle: (D,) the middle of the last distribution: less lucky, for values with noise.
        value: of `best`.
        values: of every point, in order.
    """

    best: Tensor
    middle: Tensor
    value: float
    values: tuple[float, ...]


def minimise(
    function: Callable[[Tensor], float],
    start: Tensor,
    step: float,
    evaluations: int,
    seed: int = 0,
    within: Callable[[Tensor], Tensor] = lambda point: point,
) -> Found:
    """Search from `start` with a standard deviation of `step` at first.

    Args:
        function: of a point (D,) float64.
        start: (D,).
        step: in each direction.
        evaluations: of the function, at least 2.
        seed: of the points.
        within: moves a point to where the function may be evaluated; points count as where they were moved to.

    >>> found = minimise(lambda x: float((x - 3).square().sum()), torch.zeros(4, dtype=torch.float64), 1.0, 400)
    >>> bool((found.best - 3).abs().max() < 0.05)
    True
    """
    if evaluations < 2:
        raise ValueError(f"evaluations = {evaluations}: at least 2")
    generator = torch.Generator().manual_seed(seed)
    size = len(start)
    count = 4 + int(3 * math.log(size))
    weights = (math.log((count + 1) / 2) - torch.arange(1, count // 2 + 1, dtype=torch.float64).log()).clamp_min(0)
    weights = weights / weights.sum()
    mass = float(1 / weights.square().sum())
    c_step = (mass + 2) / (size + mass + 5)
    damping = 1 + 2 * max(0.0, math.sqrt((mass - 1) / (size + 1)) - 1) + c_step
    c_path = (4 + mass / size) / (size + 4 + 2 * mass / size)
    c_one = 2 / ((size + 1.3) ** 2 + mass)
    c_many = min(1 - c_one, 2 * (mass - 2 + 1 / mass) / ((size + 2) ** 2 + mass))
    length = math.sqrt(size) * (1 - 1 / (4 * size) + 1 / (21 * size**2))

    middle, covariance = within(start.double()), torch.eye(size, dtype=torch.float64)
    path, step_path = torch.zeros(size).double(), torch.zeros(size).double()
    best, value, values = middle, function(middle), list[float]()
    values.append(value)
    while len(values) + count <= max(evaluations, count + 1):
        scales, axes = torch.linalg.eigh(covariance)
        scales = scales.clamp_min(1e-12).sqrt()
        normal = torch.randn(count, size, generator=generator, dtype=torch.float64)
        points = within(middle + step * (normal * scales) @ axes.T)
        found = [function(point) for point in points]
        values += found
        order = sorted(range(count), key=found.__getitem__)
        if found[order[0]] < value:
            best, value = points[order[0]], found[order[0]]
        moves = (points[order[: len(weights)]] - middle) / step
        move = weights @ moves
        middle = middle + step * move
        white = axes @ ((axes.T @ move) / scales)
        step_path = (1 - c_step) * step_path + math.sqrt(c_step * (2 - c_step) * mass) * white
        steady = float(step_path.norm()) < (1.4 + 2 / (size + 1)) * length * math.sqrt(
            1 - (1 - c_step) ** (2 * len(values) / count)
        )
        path = (1 - c_path) * path + steady * math.sqrt(c_path * (2 - c_path) * mass) * move
        covariance = (1 - c_one - c_many) * covariance + c_one * torch.outer(path, path)
        covariance = covariance + c_many * (moves.T * weights) @ moves
        step = step * math.exp(min(1.0, c_step / damping * (float(step_path.norm()) / length - 1)))
    return Found(best, middle, value, tuple(values))
