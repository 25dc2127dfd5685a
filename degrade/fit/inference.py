"""From sets to recipes: simulate sets by known recipes, learn what tells them apart, and apply it to a set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from degrade.fit.estimator import ImageEstimator
from degrade.fit.simulate import Drawn, Pictures, describe_degraded, numbers_drawn, set_keys
from degrade.fit.space import Space
from degrade.fit.summary import SetRegression, summarise

Progress = Callable[[int, int], None]
"""Called with how much is done, and of how much."""


@dataclass(frozen=True)
class Simulations:
    """Simulated sets.

    Args:
        vectors: (J, D) their recipes.
        features: (J, n, F).
        drawn: of all their images, J n rows.
        photographs: (J, n) int64, which good image each was made of.
    """

    vectors: Tensor
    features: Tensor
    drawn: Drawn
    photographs: Tensor

    def __add__(self, other: Simulations) -> Simulations:
        drawn = Drawn(
            torch.cat([self.drawn.values, other.drawn.values]),
            torch.cat([self.drawn.acted, other.drawn.acted]),
            self.drawn.names,
            self.drawn.stages,
        )
        pairs = ((self.vectors, other.vectors), (self.features, other.features), (self.photographs, other.photographs))
        vectors, features, photographs = (torch.cat(pair) for pair in pairs)
        return Simulations(vectors, features, drawn, photographs)


def simulate(
    space: Space, good: Pictures, vectors: Tensor, count: int, seed: int = 0, progress: Progress | None = None
) -> Simulations:
    """Make a set of `count` images by each recipe, from good images drawn with replacement."""
    features, drawn, photographs = [], [], []
    for number, vector in enumerate(vectors):
        generator = torch.Generator().manual_seed(1_000_003 * seed + number)
        index = torch.randint(len(good), (count,), generator=generator)
        recipe = space.recipe(vector)
        found, parameters = describe_degraded(recipe, good.take(index), set_keys(number, count, seed))
        features.append(found)
        drawn.append(numbers_drawn(recipe, parameters))
        photographs.append(index)
        if progress is not None:
            progress(number + 1, len(vectors))
    joined = Drawn(
        torch.cat([d.values for d in drawn]), torch.cat([d.acted for d in drawn]), drawn[0].names, drawn[0].stages
    )
    return Simulations(vectors, torch.stack(features), joined, torch.stack(photographs))


@dataclass(frozen=True)
class Estimate:
    """The numbers of a recipe that a set says, with what is known of their errors.

    Args:
        vector: (D,).
        residuals: (J, D) errors of the same estimate for simulated sets.
        skill: (D,) 1 - variance of these errors over the variance of the recipes that were simulated.
    """

    vector: Tensor
    residuals: Tensor
    skill: Tensor

    def interval(self, level: float = 0.9) -> Tensor:
        """(2, D): ends that the truth lies between for `level` of the simulated sets."""
        edge = (1 - level) / 2
        return self.vector + torch.stack([self.residuals.quantile(edge, 0), self.residuals.quantile(1 - edge, 0)])


class Inference:
    """From a set's descriptions to its recipe, learned from simulations.

    Args:
        space: of the recipes.
        simulations: made in it, of photographs like those behind the sets to come.
        latest: how many of the simulations, the last ones, the regression is made of; by default all. The estimator of
            single images learns from all.
        seed: of the estimator's training.
    """

    def __init__(self, space: Space, simulations: Simulations, latest: int | None = None, seed: int = 0) -> None:
        self.space = space
        joined = simulations.features.flatten(0, 1)
        self.estimator = ImageEstimator(joined, simulations.drawn, simulations.photographs.flatten(), seed=seed)
        kept = slice(-latest if latest else 0, None)
        pairs = zip(simulations.features[kept], simulations.photographs[kept], strict=True)
        summaries = [self._summary(found, photographs) for found, photographs in pairs]
        self.regression = SetRegression(torch.stack(summaries), simulations.vectors[kept])

    def __call__(self, features: Tensor) -> Estimate:
        """The estimate for a set (n, F)."""
        vector = self.regression(self._summary(features, None))
        return Estimate(self.space.within(vector), self.regression.residuals, self.regression.skill)

    def _summary(self, features: Tensor, photographs: Tensor | None) -> Tensor:
        estimates = self.estimator(features, photographs)
        summary = summarise(estimates, self.estimator.stages)
        return torch.cat([summary, features.mean(0), features.std(0).log1p()])
