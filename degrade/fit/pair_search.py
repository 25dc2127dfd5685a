"""The search for the parameters of one pair: starts, combinations of stages, spots, and steps from coarse to fine."""

from __future__ import annotations

from itertools import product

import torch

from degrade.base import Degradation
from degrade.fit.pair_descent import Target, descend
from degrade.fit.pair_space import Numbers, Reach, noise_stages
from degrade.fit.pair_spots import add_spots, drop_faint, no_spots
from degrade.models.fundus.constants import BLUR, ILLUMINATION, SPOTS, TYPES
from degrade.models.fundus.table import STAGE_BITS
from degrade.parameters import Parameters
from degrade.rng import keyed

_SMALL, _MIDDLE = 128, 256
_WIDE_RIM, _RIM, NARROW_RIM = 16 / 512, 8 / 512, 2 / 512
_STARTS = 64
_KEPT = (6, 2)  # of the starts at the small size, and at the middle one
_SAME = 1.015  # stages that lower the mean absolute difference by less are not there


class PairError(ValueError):
    """A pair that nothing can be fitted to, and why."""


def search(target: Target, recipe: Degradation, seed: int) -> Numbers:
    """The best numbers of all combinations of stages."""
    reach = Reach.of(recipe)
    if not reach.low:
        raise PairError(f"recipe {recipe.name!r} draws nothing from a range that one pair could tell")
    combinations = _combinations(recipe)
    tried = [_light_and_blur(target, recipe, reach, bits, seed, len(combinations) > 1) for bits in combinations]
    costs = [cost for _, cost in tried]
    limit = _SAME * min(costs)
    stages = [bin(bits or 0).count("1") for bits in combinations]
    chosen = min((k for k in range(len(tried)) if costs[k] <= limit), key=lambda k: (stages[k], costs[k]))
    numbers = tried[chosen][0]
    bits = combinations[chosen]
    if bits is not None and len(combinations) > 1 and not bits & BLUR:
        numbers = _blurred(target, numbers, reach, recipe, costs[chosen])
    if _may_have_spots(recipe):
        numbers = _with_spots(target, numbers, reach, recipe)
    return polish(target, numbers, 10, 6)


def polish(target: Target, numbers: Numbers, middle: int, full: int) -> Numbers:
    """So many more steps at the middle size, and at the full one."""
    for side, steps in ((_MIDDLE, middle), (target.side, full)):
        numbers, _ = descend(target.at(side, NARROW_RIM), numbers, steps)
    return numbers


def _blurred(target: Target, numbers: Numbers, reach: Reach, recipe: Degradation, cost: float) -> Numbers:
    """The same with a blur, if steps from there explain more: its own starts may have ended elsewhere."""
    base = {**numbers.base, "type": numbers.base["type"] | BLUR}
    grown = Numbers(base, reach.without(*_absent(int(base["type"])), recipe=recipe))
    found, less = descend(target.at(_MIDDLE, _RIM), grown, 12, robust=True)
    return found if _SAME * less < cost else numbers


def _combinations(recipe: Degradation) -> list[int | None]:
    """Bits of the light and the blur that may act; None for recipes without types."""
    fixed = recipe.settings.get("type")
    if "type" not in recipe.parameter_table:
        return [None]
    if fixed in TYPES:
        return [int(str(fixed), 2) & ~SPOTS]
    return [light | blur for light, blur in product((0, ILLUMINATION), (0, BLUR))]


def _may_have_spots(recipe: Degradation) -> bool:
    kind = recipe.settings.get("type")
    return "type" in recipe.parameter_table and (kind not in TYPES or bool(int(str(kind), 2) & SPOTS))


def _light_and_blur(
    target: Target, recipe: Degradation, reach: Reach, bits: int | None, seed: int, few: bool
) -> tuple[Numbers, float]:
    """The best of several starts, without spots."""
    reach = reach if bits is None else reach.without(*_absent(bits), recipe=recipe)
    small, middle = target.at(_SMALL, _WIDE_RIM), target.at(_MIDDLE, _RIM)
    drawn = _quiet(recipe.draw(keyed.make_keys(seed, _STARTS), *target.clean.shape[-2:]), recipe)
    if bits is not None:
        drawn = no_spots({**drawn, "type": torch.full_like(drawn["type"], bits)})
        drawn["spot_count"] = torch.zeros_like(drawn["type"])
    costs = small.differences(drawn).abs().mean(1)
    best = costs.argsort()[: (_KEPT[0] // 2 if few else _KEPT[0])].tolist() if reach.low else [0]
    starts = [Numbers({name: value[k : k + 1] for name, value in drawn.items()}, reach) for k in best]
    first = sorted((descend(small, one, 12, robust=True) for one in starts), key=lambda pair: pair[1])
    second = [descend(middle, one, 12, robust=True) for one, _ in first[: _KEPT[1]]]
    return min(second, key=lambda pair: pair[1])


def _with_spots(target: Target, numbers: Numbers, reach: Reach, recipe: Degradation) -> Numbers:
    """Two rounds of spots and steps on everything; without those that turn out to be hardly there."""
    most = int(recipe.draw(keyed.make_keys(0, 1), 32, 32)["spot_radius"].shape[1])
    bits = int(numbers.base["type"])
    both = reach.without(*_absent(bits | SPOTS), recipe=recipe)
    plain = numbers
    for rim in (_RIM, NARROW_RIM):
        middle = target.at(_MIDDLE, rim)
        base = {**numbers.base, "type": torch.tensor([bits | SPOTS])}
        found = add_spots(middle, base, reach, most)
        if not found["spot_radius"].shape[1]:
            return plain
        numbers, _ = descend(middle, Numbers(found, both), 8, robust=rim == _RIM)
        kept = drop_faint(numbers.base)
        if not kept["spot_radius"].shape[1]:
            return plain
        numbers = Numbers(kept, both)
    return numbers


def _absent(bits: int) -> set[str]:
    """The stages that do not act."""
    return {stage for stage, bit in STAGE_BITS.items() if not bits & bit}


def _quiet(drawn: Parameters, recipe: Degradation) -> Parameters:
    """Without noise."""
    stages = {p.stage for p in recipe.parameter_table} - noise_stages(recipe)
    return recipe.parameter_table.only(drawn, *stages)
