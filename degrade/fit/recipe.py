"""Fit a recipe to an unpaired set of poor images: simulate sets, learn what tells recipes apart, read it off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.fit.compare import Comparison, compare
from degrade.fit.distance import Scale, energy_distance
from degrade.fit.estimator import ImageEstimator
from degrade.fit.features import features_of
from degrade.fit.simulate import Drawn, Pictures, describe_degraded, numbers_drawn, set_keys
from degrade.fit.space import Space
from degrade.fit.summary import SetRegression, summarise

IDENTIFIED = 0.5
"""Skill from which a number counts as identifiable: the simulations' variance that the regression explains."""
MOVED = 0.2
"""Skill below which a number stays as it was in the recipe that the fit began with."""

_MOST_IN_SET = 80  # images of a simulated set: more say little more, and cost as much again
_WIDER = 1.5  # how much further than their residuals the recipes of a later round are spread

Progress = Callable[[int, int], None]


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


@dataclass(frozen=True)
class Number:
    """One end of a range, or one probability, before and after.

    Args:
        label: "brightness.low", "blur_probability", ...
        before, after: in the setting's own unit.
        low, high: 90 % interval of `after`.
        skill: 0: the images say nothing about it; 1: everything.
    """

    label: str
    before: float
    after: float
    low: float
    high: float
    skill: float

    @property
    def identified(self) -> bool:
        return self.skill >= IDENTIFIED


@dataclass(frozen=True)
class RecipeFit:
    """A recipe that was fitted, and how far to trust it.

    Args:
        start, recipe: before and after.
        numbers: every end and probability that was looked at.
        before, after: kept-out real images against kept-out good ones, degraded by the two recipes.
        kept_out: the good and the poor images of these comparisons.
        warnings: what makes the result uncertain, and what to do.
    """

    start: Degradation
    recipe: Degradation
    numbers: tuple[Number, ...]
    before: Comparison
    after: Comparison
    kept_out: tuple[Pictures, Pictures]
    warnings: tuple[str, ...] = ()


def fit_recipe(
    good: Pictures,
    poor: Pictures,
    recipe: Degradation | str = "cofe-net-paper",
    *,
    settings: Sequence[str] | None = None,
    sets: int = 160,
    rounds: int = 2,
    reach: float = 1.0,
    kept_out: tuple[Pictures, Pictures] | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> RecipeFit:
    """Fit the ranges and stage probabilities of a recipe to a set of poor images, without pairs.

    Recipes around the given one are drawn, each degrades a set of good images, and a regression learns to tell the
    recipe from the set (of `ImageEstimator`'s statistics). It is applied to the poor set; the next round draws recipes
    around what it said. Of the start and the rounds the recipe with the smallest energy distance to the poor set is
    returned. The same keys are used for the same set of every round.

    Args:
        good, poor: from `prepare`, of one size. For honest comparisons they should come from the same kind of camera.
        recipe: what to start from: a recipe of a model with the images' channels.
        settings: names of the settings that vary; see `Space.of`.
        sets: simulated per round.
        rounds: at least 1.
        reach: how far from the start recipes are looked for; see `Space.prior`.
        kept_out: good and poor images for the comparison before and after; by default a third of both sets.
        seed: of everything random.
        progress: called with a round's name, sets done and sets in all.

    Raises:
        ValueError: sets of different channels or sizes, `sets` below 40, `rounds` below 1.
    """
    if sets < 40:
        raise ValueError(f"sets = {sets}: at least 40")
    if rounds < 1:
        raise ValueError(f"rounds = {rounds}: at least 1")
    if good.images.shape[1:] != poor.images.shape[1:]:
        raise ValueError(f"good and poor images differ: {tuple(good.images.shape)} and {tuple(poor.images.shape)}")
    space = Space.of(recipe, settings)
    good, poor, (kept_good, kept_poor) = _divided(good, poor, kept_out, seed)
    features, count = poor.describe(), min(len(poor), _MOST_IN_SET)
    generator = torch.Generator().manual_seed(seed)
    vectors = space.prior(sets, generator, reach)
    simulations: Simulations | None = None
    skill: Tensor | None = None
    candidates = [space.vector()]
    for number in range(rounds):
        tell = None if progress is None else _named(progress, f"round {number + 1} of {rounds}")
        made = simulate(space, good, vectors, count, seed + number, tell)
        simulations = made if simulations is None else simulations + made
        estimate = Inference(space, simulations, len(vectors), seed)(features)
        skill = estimate.skill if skill is None else skill  # later rounds' is that of what is still open
        moved = torch.where(skill >= MOVED, estimate.vector, space.vector())
        candidates.append(space.within(moved))
        rows = torch.randint(len(estimate.residuals), (sets // 2,), generator=generator)
        vectors = space.within(estimate.vector + _WIDER * estimate.residuals[rows])
    assert skill is not None
    best = _nearest(space, candidates, good, features, seed)
    numbers = _numbers(space, candidates[best], replace(estimate, skill=skill))
    found = space.recipe(candidates[best])
    scale = Scale.of(poor.describe(), _floors(poor))
    before, after = (compare(kept_good, kept_poor, one, scale, seed) for one in (space.start, found))
    warnings = tuple(_warnings(best, numbers, after))
    return RecipeFit(space.start, found, numbers, before, after, (kept_good, kept_poor), warnings)


def _named(progress: Callable[[str, int, int], None], name: str) -> Progress:
    return lambda done, total: progress(name, done, total)


def _divided(
    good: Pictures, poor: Pictures, kept_out: tuple[Pictures, Pictures] | None, seed: int
) -> tuple[Pictures, Pictures, tuple[Pictures, Pictures]]:
    """What is fitted to, and what is kept out: a third of each set."""
    if kept_out is not None:
        return good, poor, kept_out
    parts = []
    for pictures in (good, poor):
        order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))
        third = len(pictures) // 3
        parts.append((pictures.take(order[third:].sort().values), pictures.take(order[:third].sort().values)))
    return parts[0][0], parts[1][0], (parts[0][1], parts[1][1])


def _floors(pictures: Pictures) -> Tensor:
    return torch.tensor([feature.floor for feature in features_of(pictures.images.shape[1])], dtype=torch.float64)


def _nearest(space: Space, candidates: list[Tensor], good: Pictures, features: Tensor, seed: int) -> int:
    """Which recipe's images are nearest to the set, by energy distance with common keys."""
    scale = Scale.of(features)
    distances = []
    for vector in candidates:
        views = [describe_degraded(space.recipe(vector), good, set_keys(-1 - v, len(good), seed))[0] for v in range(2)]
        distances.append(float(energy_distance(scale(torch.cat(views)), scale(features))))
    return min(range(len(candidates)), key=distances.__getitem__)


def _numbers(space: Space, vector: Tensor, estimate: Estimate) -> tuple[Number, ...]:
    low, high = (space.in_units(end) for end in estimate.interval())
    before, after = space.in_units(space.vector()), space.in_units(vector)
    rows = zip(space.labels, before, after, low, high, estimate.skill.tolist(), strict=True)
    return tuple(Number(*row) for row in rows)


def _warnings(best: int, numbers: Sequence[Number], after: Comparison) -> list[str]:
    found = []
    if best == 0:
        found.append("no recipe that was found is nearer to the poor images than the one to start from: it is returned")
    if not any(number.identified for number in numbers):
        found.append("nothing can be identified: give more images")
    if after.auc > _OUT_OF_REACH:
        worst = ", ".join(f"{d.feature.name} ({d.words})" for d in after.differences[:3])
        found.append(
            f"the model cannot reach the poor images (AUC {after.auc:.2f} on kept-out ones): they still differ in "
            f"{worst}; if the two sets are of different cameras, that may be all that differs"
        )
    return found


_OUT_OF_REACH = 0.75
