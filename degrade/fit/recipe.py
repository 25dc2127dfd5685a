"""Fit a recipe to an unpaired set of poor images: simulate sets, learn what tells recipes apart, read it off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.fit.compare import Comparison, compare
from degrade.fit.distance import Scale
from degrade.fit.features import features_of
from degrade.fit.inference import Inference, Progress, Simulations, simulate
from degrade.fit.nearest import SetDistance
from degrade.fit.simulate import Pictures
from degrade.fit.space import Space

IDENTIFIED = 0.5
"""Skill from which a number counts as identifiable: the simulations' variance that the regression explains."""
MOVED = 0.2
"""Skill below which a number stays as it was in the recipe that the fit began with."""
LEAST_SEARCHES = 10
"""Of a bootstrap: fewer have no 90 % interval."""

_MOST_IN_SET = 80  # images of a simulated set: more say little more, and cost as much again
_WIDER = 1.5  # how much further than their residuals the recipes of a later round are spread

_SURELY_APART = 0.02  # p-value


@dataclass(frozen=True)
class Number:
    """One end of a range, or one probability, before and after.

    Args:
        label: "brightness.low", "blur_probability", ...
        before, after: in the setting's own unit.
        low, high: 90 % interval of `after`; NaN where no recipe of the model makes the set and there was no bootstrap.
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
    search: int = 240,
    bootstrap: int = 0,
    kept_out: tuple[Pictures, Pictures] | None = None,
    seed: int = 0,
    progress: Callable[[str, int, int], None] | None = None,
) -> RecipeFit:
    """Fit the ranges and stage probabilities of a recipe to a set of poor images, without pairs.

    Recipes around the given one are drawn, each degrades a set of good images, and a regression learns to tell the
    recipe from the set (of `ImageEstimator`'s statistics). It is applied to the poor set; the next round draws recipes
    around what it said.

    That is right for sets that some recipe can make. Whether this is one, a permutation test says. If not, an evolution
    strategy goes on from the nearest recipe so far and minimises the energy distance, with the same keys for every
    recipe. Of all these recipes the nearest to the poor set is returned. Intervals then are of a bootstrap: of more
    searches, each with both sets drawn from with replacement, and with other keys.

    Args:
        good, poor: from `prepare`, of one size. For honest comparisons they should come from the same kind of camera.
        recipe: what to start from: a recipe of a model with the images' channels.
        settings: names of the settings that vary; see `Space.of`.
        sets: simulated per round.
        rounds: at least 1.
        reach: how far from the start recipes are looked for; see `Space.prior`.
        search: recipes that the evolution strategy tries; 0 leaves it out.
        bootstrap: searches for the intervals of what the evolution strategy finds, 10 or more; 0: no intervals.
        kept_out: good and poor images for the comparison before and after; by default a third of both sets.
        seed: of everything random.
        progress: called with a round's name, sets done and sets in all.

    Raises:
        ValueError: sets of different channels or sizes, `sets` below 40, `rounds` below 1, `bootstrap` from 1 to 9.
    """
    if sets < 40:
        raise ValueError(f"sets = {sets}: at least 40")
    if rounds < 1:
        raise ValueError(f"rounds = {rounds}: at least 1")
    if bootstrap < 0 or 0 < bootstrap < LEAST_SEARCHES:
        raise ValueError(f"bootstrap = {bootstrap}: 0, or at least {LEAST_SEARCHES}")
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
    distance = SetDistance.of(space, good, features, seed)
    best = min(candidates, key=distance)
    reached, interval = distance.p_value(best) >= _SURELY_APART, estimate.interval()
    if not reached:
        best, interval = _searched(distance, best, search, bootstrap, progress)
    numbers = _numbers(space, best, interval, skill)
    found = space.recipe(best)
    scale = Scale.of(poor.describe(), _floors(poor))
    before, after = (compare(kept_good, kept_poor, one, scale, seed) for one in (space.start, found))
    same = torch.equal(best, candidates[0])
    warnings = tuple(_warnings(same, reached, bootstrap if search else 0, numbers, after))
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


def _searched(
    distance: SetDistance,
    start: Tensor,
    search: int,
    bootstrap: int,
    progress: Callable[[str, int, int], None] | None,
) -> tuple[Tensor, Tensor]:
    """The nearest recipe that a search finds, and (2, D) the 90 % interval of a bootstrap; NaN without one."""
    nothing = start.new_full((2, len(start)), torch.nan)
    if not search:
        return start, nothing
    best = distance.nearest(start, search, None if progress is None else _named(progress, "search"))
    if not bootstrap:
        return best, nothing
    again = []
    for number in range(bootstrap):
        again.append(distance.resampled(number).nearest(start, search))
        if progress is not None:
            progress("bootstrap", number + 1, bootstrap)
    ends = torch.tensor([0.05, 0.95], dtype=best.dtype)
    return best, torch.stack(again).quantile(ends, dim=0)


def _numbers(space: Space, vector: Tensor, interval: Tensor, skill: Tensor) -> tuple[Number, ...]:
    low, high = (space.in_units(end) for end in interval)
    before, after = space.in_units(space.vector()), space.in_units(vector)
    rows = zip(space.labels, before, after, low, high, skill.tolist(), strict=True)
    return tuple(Number(*row) for row in rows)


def _warnings(same: bool, reached: bool, bootstrap: int, numbers: Sequence[Number], after: Comparison) -> list[str]:
    found = []
    if not reached and bootstrap:
        found.append("no recipe of this model makes such a set: intervals say how well the nearest one is known")
    elif not reached:
        found.append("no recipe of this model makes such a set: without a bootstrap there are no intervals")
    if same:
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
