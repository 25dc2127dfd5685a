"""The recipe whose images are nearest to a set, searched for directly: common random numbers, no derivatives."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from degrade.fit.distance import Scale, energy_distance, permutation_p_value
from degrade.fit.evolution import minimise
from degrade.fit.inference import Progress
from degrade.fit.simulate import Pictures, describe_degraded, set_keys
from degrade.fit.space import Space

_MOST = 80  # good images that a distance is of
_IN_SEARCH = 40  # images that are degraded for each recipe of a search
_FIRST_STEP = 0.25  # standard deviation of the first recipes, of a range's width


@dataclass(frozen=True)
class SetDistance:
    """Energy distance between a set and what a vector's recipe makes of good images, the same keys for every vector.

    Args:
        space: of the vectors.
        good: images.
        real: (n, F) descriptions of the set, in units of `scale`.
        scale: of distances.
        seed: of the keys.
    """

    space: Space
    good: Pictures
    real: Tensor
    scale: Scale
    seed: int = 0

    @staticmethod
    def of(space: Space, good: Pictures, features: Tensor, seed: int = 0) -> SetDistance:
        """For a set with these descriptions, (n, F), in its own units; of many good images some are taken."""
        order = torch.randperm(len(good), generator=torch.Generator().manual_seed(seed))
        scale = Scale.of(features, 1e-3)
        return SetDistance(space, good.take(order[:_MOST].sort().values), scale(features), scale, seed)

    def resampled(self, number: int) -> SetDistance:
        """As it might have been: both sets drawn from with replacement, and other keys; one for each number."""
        generator = torch.Generator().manual_seed(1_000_003 * self.seed + number)
        good, real = (torch.randint(len(some), (len(some),), generator=generator) for some in (self.good, self.real))
        seed = int(torch.randint(1 << 31, (), generator=generator))
        return replace(self, good=self.good.take(good), real=self.real[real], seed=seed)

    def made(self, vector: Tensor, view: int = 0, count: int | None = None) -> Tensor:
        """(B, F) descriptions in units of the set, of the first `count` images or of all."""
        some = self.good if count is None else self.good.take(torch.arange(min(count, len(self.good))))
        keys = set_keys(-1 - view, len(some), self.seed)
        return self.scale(describe_degraded(self.space.recipe(vector), some, keys)[0])

    def __call__(self, vector: Tensor) -> float:
        """The distance."""
        return float(energy_distance(self.made(vector), self.real))

    def p_value(self, vector: Tensor) -> float:
        """Of a permutation test, with keys that no recipe was chosen by."""
        return permutation_p_value(self.made(vector, 1), self.real, seed=self.seed)

    def nearest(self, start: Tensor, evaluations: int, progress: Progress | None = None) -> Tensor:
        """Where an evolution strategy ends, or the start if that is nearer by other keys."""
        done = 0

        def distance(vector: Tensor) -> float:
            nonlocal done
            done += 1
            if progress is not None:
                progress(min(done, evaluations), evaluations)
            return float(energy_distance(self.made(vector, 0, _IN_SEARCH), self.real))

        found = minimise(distance, start, _FIRST_STEP, evaluations, self.seed, self.space.within)
        if progress is not None and done < evaluations:
            progress(evaluations, evaluations)
        places = [start, self.space.within(found.middle), found.best]
        return min(places, key=lambda place: float(energy_distance(self.made(place, 2), self.real)))
