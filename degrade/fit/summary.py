"""Summaries of sets, and the regression from them to recipes: linear, with few columns, judged on what it left out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
_COLUMNS = (8, 16, 32, 64)
_RIDGES = (0.003, 0.03, 0.3, 3.0)
_FOLDS = 8


def summarise(estimates: Tensor, stages: list[int]) -> Tensor:
    """The moments and quantiles of a set's estimates: (B, K) -> (S,).

    Args:
        estimates: of an `ImageEstimator`, chances of stages among them.
        stages: per column the column of the stage that it belongs to, by whose chance images are weighted; -1: none.
    """
    weights = torch.stack([estimates[:, at] if at >= 0 else torch.ones(len(estimates)).double() for at in stages], 1)
    weights = weights.square() + 1e-3
    weights = weights / weights.sum(0)
    mean = (weights * estimates).sum(0)
    away = estimates - mean
    spread = ((weights * away.square()).sum(0) + 1e-9).sqrt()
    skew = (weights * away.pow(3)).sum(0) / spread.pow(3)
    ordered, order = estimates.sort(dim=0)
    reached = weights.gather(0, order).cumsum(0) - 0.5 * weights.gather(0, order)
    quantiles = []
    for share in _SHARES:
        above = (reached < share).sum(0).clamp(1, len(estimates) - 1)[None]
        low, high = reached.gather(0, above - 1), reached.gather(0, above)
        part = ((share - low) / (high - low).clamp_min(1e-9)).clamp(0, 1)
        values = ordered.gather(0, above - 1), ordered.gather(0, above)
        quantiles.append((values[0] + part * (values[1] - values[0]))[0])
    return torch.cat([mean, spread, skew.clamp(-3, 3), *quantiles])


@dataclass(frozen=True)
class Line:
    """The regression of one number: which columns, their weights, and how far off it was where it was left out.

    Args:
        columns: of the summaries.
        weights: (C,) of the standardised columns.
        offset: what it gives for average columns.
        residuals: (J,) of each simulation, from the regression without it.
        skill: 1 - residual variance over prior variance: 0 says nothing, 1 is exact.
    """

    columns: Tensor
    weights: Tensor
    offset: float
    residuals: Tensor
    skill: float


class SetRegression:
    """Ridge regressions of every number of a recipe on the summaries of simulated sets.

    Args:
        summaries: (J, S).
        vectors: (J, D) the recipes that the sets were made with.
    """

    def __init__(self, summaries: Tensor, vectors: Tensor) -> None:
        self.center, unit = summaries.mean(0), summaries.std(0)
        self.unit = torch.where(unit > 1e-9, unit, torch.inf)
        x = self._input(summaries)
        self.lines = [_line(x, y) for y in vectors.unbind(1)]

    def _input(self, summaries: Tensor) -> Tensor:
        return ((summaries - self.center) / self.unit).clamp(-4, 4)

    def __call__(self, summaries: Tensor) -> Tensor:
        """(..., S) -> (..., D)."""
        x = self._input(summaries)
        return torch.stack([x[..., line.columns] @ line.weights + line.offset for line in self.lines], dim=-1)

    @property
    def residuals(self) -> Tensor:
        """(J, D)."""
        return torch.stack([line.residuals for line in self.lines], dim=1)

    @property
    def skill(self) -> Tensor:
        """(D,)."""
        return torch.tensor([line.skill for line in self.lines], dtype=torch.float64)


def _line(x: Tensor, y: Tensor) -> Line:
    """The regression with the number of columns and the ridge whose left-out residuals are smallest.

    Columns are chosen within each fold, without what it leaves out: otherwise chance would look like skill.
    """
    variance = float((y - y.mean()).square().mean())
    nothing = Line(torch.zeros(0, dtype=torch.long), x.new_zeros(0), float(y.mean()), y - y.mean(), 0.0)
    if variance < 1e-12:
        return nothing
    fold = torch.arange(len(x)) % _FOLDS
    counts = [count for count in _COLUMNS if count <= max(len(x) // 4, min(_COLUMNS))]
    residuals = x.new_zeros(len(counts), len(_RIDGES), len(x))
    for own in range(_FOLDS):
        kept, left = fold != own, fold == own
        for at, count in enumerate(counts):
            columns, weights, offset = _solved(x[kept], y[kept], count)
            residuals[at][:, left] = y[left] - offset - weights @ x[left][:, columns].T
    errors = residuals.square().mean(-1)
    best = int(errors.argmin())
    at, ridge = divmod(best, len(_RIDGES))
    if float(errors.flatten()[best]) >= variance:
        return nothing
    columns, weights, offset = _solved(x, y, counts[at])
    skill = 1 - float(errors.flatten()[best]) / variance
    return Line(columns, weights[ridge], float(offset[ridge]), residuals[at, ridge], skill)


def _solved(x: Tensor, y: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """The columns that go most with `y`, and for each ridge their weights (R, count) and the offset (R, 1)."""
    center, middle = x.mean(0), y.mean()
    columns = ((x - center) * (y - middle)[:, None]).mean(0).abs().argsort(descending=True)[:count]
    u, s, vt = torch.linalg.svd((x - center)[:, columns], full_matrices=False)
    along = u.T @ (y - middle)
    weights = torch.stack([vt.T @ (s / (s.square() + ridge * len(x)) * along) for ridge in _RIDGES])
    return columns, weights, (middle - weights @ center[columns])[:, None]
