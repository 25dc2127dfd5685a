"""What a fit of one pair may change: the numbers of one sample's parameters that the recipe draws from ranges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.parameters import Parameters
from degrade.rng import keyed

_DRAWS = 256
_BEYOND = 0.5  # of a range's width: how far a fit may leave what the recipe draws
_LEAST_BEYOND = 0.2  # of the largest number drawn: the same for narrow ranges
_FEW_PIXELS = 32


@dataclass(frozen=True)
class Reach:
    """How far each parameter of a recipe may go: names to ends, one per number of a sample (or of a spot).

    A number that the recipe always draws alike is no part of it: it is kept. So is what noise is made of.
    """

    low: dict[str, Tensor]
    high: dict[str, Tensor]

    @staticmethod
    def of(recipe: Degradation) -> Reach:
        """What 256 draws span, half their width further to both sides (a fifth of the largest number at least)."""
        drawn = recipe.draw(keyed.make_keys(0, _DRAWS), _FEW_PIXELS, _FEW_PIXELS)
        low, high = dict[str, Tensor](), dict[str, Tensor]()
        noisy = noise_stages(recipe)
        for p in recipe.parameter_table:
            if p.kind != "real" or not p.differentiable or p.stage in noisy:
                continue
            values = drawn[p.name].double()
            if p.shape[:1] == ("N",):
                values = values.flatten(0, 1)
            if not len(values):
                continue
            least, most = values.amin(0), values.amax(0)
            if not bool((most > least).any()):
                continue
            beyond = torch.maximum(_BEYOND * (most - least), _LEAST_BEYOND * values.abs().amax(0))
            low[p.name] = (least - beyond).clamp(*p.allowed)
            high[p.name] = (most + beyond).clamp(*p.allowed)
        return Reach(low, high)

    def without(self, *stages: str, recipe: Degradation) -> Reach:
        """The same with the parameters of some stages kept."""
        kept = [name for name in self.low if recipe.parameter_table[name].stage not in stages]
        return Reach({name: self.low[name] for name in kept}, {name: self.high[name] for name in kept})


def noise_stages(recipe: Degradation) -> set[str]:
    """The stages that draw numbers for each pixel, which no other draw repeats; all where a key is of no stage."""
    found = {p.stage for p in recipe.parameter_table if p.kind == "key"}
    return {p.stage for p in recipe.parameter_table} if "" in found else found


@dataclass(frozen=True)
class Numbers:
    """One sample's parameters as a vector of what may change, each from 0 to 1 over its reach.

    Args:
        base: (1, ...) what all else is taken from.
        reach: of each parameter.
    """

    base: Parameters
    reach: Reach

    def labels(self) -> list[str]:
        """One per number: the parameter's name, and where in it."""
        found = []
        for name in self.reach.low:
            shape = self.base[name].shape[1:]
            places = torch.cartesian_prod(*(torch.arange(size) for size in shape)).reshape(-1, len(shape)).tolist()
            found += [name + "".join(f"[{at}]" for at in place) for place in places] if shape else [name]
        return found

    def ends(self) -> tuple[Tensor, Tensor]:
        """(P,) and (P,) float64, the smallest and the largest value of each."""
        lows, highs = [], []
        for name in self.reach.low:
            shape = self.base[name].shape[1:]
            lows.append(self.reach.low[name].expand(shape).flatten())
            highs.append(self.reach.high[name].expand(shape).flatten())
        nothing = torch.zeros(0, dtype=torch.float64)
        return torch.cat([nothing, *lows]), torch.cat([nothing, *highs])

    def vector(self) -> Tensor:
        """(P,) float64: the base."""
        low, high = self.ends()
        nothing = torch.zeros(0, dtype=torch.float64)
        values = torch.cat([nothing, *(self.base[name].double().flatten() for name in self.reach.low)])
        return ((values - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)

    def parameters(self, vectors: Tensor) -> Parameters:
        """(K, P) -> parameters of K samples."""
        low, high = self.ends()
        values, count, at = (low + (high - low) * vectors).float(), len(vectors), 0
        found = {name: value.expand(count, *value.shape[1:]) for name, value in self.base.items()}
        for name in self.reach.low:
            shape = self.base[name].shape[1:]
            size = self.base[name].numel()
            found[name] = values[:, at : at + size].reshape(count, *shape)
            at += size
        return found

    def at(self, vector: Tensor) -> Numbers:
        """The same numbers, based elsewhere."""
        return replace(self, base={name: value.clone() for name, value in self.parameters(vector[None]).items()})
