"""Distances between two sets of descriptions: energy, sliced Wasserstein, a permutation test and a classifier's AUC."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_CLIP = 6.0  # standard deviations: a feature that left its range counts no more than this


@dataclass(frozen=True)
class Scale:
    """Centers and units of features: (F,) each. Distances count in these units."""

    center: Tensor
    unit: Tensor

    @staticmethod
    def of(real: Tensor, floor: Tensor | float = 1e-6) -> Scale:
        """Median and spread (interquartile range over 1.35) of a set (B, F); units are at least `floor`."""
        low, middle, high = torch.quantile(real, torch.tensor([0.25, 0.5, 0.75], dtype=real.dtype), dim=0)
        unit = torch.maximum((high - low) / 1.349, 0.5 * real.std(0, unbiased=False))
        return Scale(middle, torch.maximum(unit, torch.as_tensor(floor, dtype=real.dtype)))

    def __call__(self, values: Tensor) -> Tensor:
        return ((values - self.center) / self.unit).clamp(-_CLIP, _CLIP)


def energy_distance(first: Tensor, second: Tensor) -> Tensor:
    """2 E|X - Y| - E|X - X'| - E|Y - Y'| over the square root of F: 0 for equal distributions, unbiased.

    Székely and Rizzo, "Energy statistics", 2013. Pairs of a sample with itself do not count, so that its expectation is
    0 for two sets of one distribution (single values may be below 0).

    Args:
        first, second: (B, F) and (C, F) in comparable units, such as `Scale`'s; at least two rows each.

    Returns:
        a scalar, differentiable.

    >>> x = torch.arange(4.0)[:, None]
    >>> float(energy_distance(x, x + 10)) > 10
    True
    """
    _check(first, second)
    n, m = len(first), len(second)
    within = _lengths(first, first).sum() / (n * (n - 1)) + _lengths(second, second).sum() / (m * (m - 1))
    return (2 * _lengths(first, second).mean() - within) / math.sqrt(first.shape[1])


def energy_contributions(first: Tensor, second: Tensor) -> Tensor:
    """What each row of `first` adds to the energy distance: (B, F), (C, F) -> (B,).

    The gradient of their mean in `first` is that of `energy_distance`; their differences say which samples a set
    would be nearer without, which is what a score function needs.
    """
    _check(first, second)
    within = _lengths(first, first.detach()).sum(1) / (len(first) - 1)
    return 2 * (_lengths(first, second).mean(1) - within) / math.sqrt(first.shape[1])


def _lengths(first: Tensor, second: Tensor) -> Tensor:
    squares = first.square().sum(1)[:, None] + second.square().sum(1) - 2 * first @ second.T
    return (squares.clamp_min(0) + 1e-12).sqrt() - 1e-6


def sliced_wasserstein(first: Tensor, second: Tensor, directions: int = 128, seed: int = 0) -> Tensor:
    """Mean over random directions of the 1-Wasserstein distance of the projections. Differentiable.

    Args:
        first, second: (B, F) and (C, F) in comparable units; the sets may differ in size.
        directions: how many, on the unit sphere.
        seed: of the directions.

    >>> x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    >>> float(sliced_wasserstein(x, x))
    0.0
    """
    _check(first, second)
    generator = torch.Generator().manual_seed(seed)
    axes = torch.randn(first.shape[1], directions, generator=generator, dtype=first.dtype)
    axes = (axes / axes.norm(dim=0)).to(first.device)
    return per_feature_wasserstein(first @ axes, second @ axes).mean()


def per_feature_wasserstein(first: Tensor, second: Tensor) -> Tensor:
    """The 1-Wasserstein distance of each column: (B, F), (C, F) -> (F,)."""
    count = max(len(first), len(second))
    at = (torch.arange(count, dtype=first.dtype, device=first.device) + 0.5) / count
    ordered = [_at(values.sort(dim=0).values, at) for values in (first, second)]
    return (ordered[0] - ordered[1]).abs().mean(0)


def _at(ordered: Tensor, share: Tensor) -> Tensor:
    place = (share * len(ordered) - 0.5).clamp(0, len(ordered) - 1)
    below = place.floor().long()
    above = torch.minimum(below + 1, torch.tensor(len(ordered) - 1))
    return ordered[below] + (place - below)[:, None] * (ordered[above] - ordered[below])


def permutation_p_value(first: Tensor, second: Tensor, permutations: int = 500, seed: int = 0) -> float:
    """How often a random division of the two sets together is at least as far apart in energy distance.

    Returns:
        (1 + number of such divisions) / (1 + permutations): small where the sets differ.
    """
    _check(first, second)
    both = torch.cat([first, second]).double()
    lengths = _lengths(both, both)
    lengths.fill_diagonal_(0)
    n, m = len(first), len(second)
    generator = torch.Generator().manual_seed(seed)
    orders = [torch.arange(n + m), *(torch.randperm(n + m, generator=generator) for _ in range(permutations))]
    member = torch.zeros(len(orders), n + m, dtype=lengths.dtype)
    for row, order in zip(member, orders, strict=True):
        row[order[:n]] = 1
    near = member @ lengths
    within_first, across = (near * member).sum(1), (near * (1 - member)).sum(1)
    within_second = ((1 - member) @ lengths * (1 - member)).sum(1)
    found = 2 * across / (n * m) - within_first / (n * (n - 1)) - within_second / (m * (m - 1))
    return float((1 + (found[1:] >= found[0] - 1e-9).sum()) / len(orders))


def two_sample_auc(first: Tensor, second: Tensor, folds: int = 5, repeats: int = 4, seed: int = 0) -> float:
    """Area under the ROC curve of a logistic classifier that is to tell the sets apart, by cross-validation.

    Lopez-Paz and Oquab, "Revisiting classifier two-sample tests", 2017. 0.5: it cannot tell; 1: always. The classifier
    sees each feature and its square, with a ridge; scores are of images that it was not fitted to.

    Args:
        first, second: (B, F) and (C, F) in comparable units, at least `folds` rows each.
        folds: of the cross-validation; each set is divided evenly.
        repeats: divisions, whose areas are averaged.
        seed: of the divisions.
    """
    _check(first, second)
    if min(len(first), len(second)) < folds:
        raise ValueError(f"folds = {folds}: allowed is up to the smaller set, {min(len(first), len(second))}")
    both = torch.cat([first, second]).double()
    both = torch.cat([both, both.square() / 2], dim=1)
    truth = torch.cat([torch.zeros(len(first)), torch.ones(len(second))]).double()
    generator = torch.Generator().manual_seed(seed)
    areas = []
    for _ in range(repeats):
        fold = torch.cat([torch.randperm(len(part), generator=generator) % folds for part in (first, second)])
        for own in range(folds):
            kept = fold != own
            scores = both[~kept] @ _logistic(both[kept], truth[kept])
            areas.append(area_under_curve(scores, truth[~kept]))
    return sum(areas) / len(areas)


def area_under_curve(scores: Tensor, truth: Tensor) -> float:
    """The chance that a score of truth 1 is above one of truth 0; ties count half."""
    positive, negative = scores[truth > 0.5], scores[truth <= 0.5]
    difference = positive[:, None] - negative
    return float(((difference > 0).double() + 0.5 * (difference == 0).double()).mean())


def _logistic(x: Tensor, truth: Tensor, ridge: float = 0.1, steps: int = 8) -> Tensor:
    """Weights of a ridge logistic regression, by Newton's method; the constant cancels in an area."""
    weight_of = torch.where(truth > 0.5, 0.5 / truth.mean(), 0.5 / (1 - truth).mean())
    center, unit = x.mean(0), x.std(0).clamp_min(1e-6)
    x = torch.cat([(x - center) / unit, torch.ones_like(x[:, :1])], dim=1)
    penalty = ridge * len(x) * torch.eye(x.shape[1], dtype=x.dtype)
    penalty[-1, -1] = 1e-9
    beta = x.new_zeros(x.shape[1])
    for _ in range(steps):
        chance = torch.sigmoid(x @ beta)
        curvature = weight_of * (chance * (1 - chance)).clamp_min(1e-6)
        gradient = x.T @ (weight_of * (truth - chance)) - penalty @ beta
        beta = beta + torch.linalg.solve(x.T * curvature @ x + penalty, gradient)
    return beta[:-1] / unit


def _check(first: Tensor, second: Tensor) -> None:
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1] or min(len(first), len(second)) < 2:
        raise ValueError(
            f"sets must be (B, F) and (C, F) with two rows or more; got {tuple(first.shape)} and {tuple(second.shape)}"
        )
