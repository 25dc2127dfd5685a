"""Descent in the parameters of one pair: damped Gauss-Newton steps on the pixels' differences."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from degrade.base import Degradation
from degrade.fit.pair_space import Numbers
from degrade.fit.space import changed
from degrade.parameters import Parameters

_MOST_VALUES = 1 << 17  # of a picture that steps are computed from; more are taken evenly
_AT_ONCE = 1 << 22  # numbers of pictures that are made at once
_SECANT = 0.004  # of a number's reach
_DAMPING = (0.1, 1.0, 10.0, 100.0)
_GREY_LEVEL = 1 / 255


@dataclass(frozen=True)
class Target:
    """A pair at one size, and the recipe that is to make one of the other.

    Args:
        clean, degraded: (1, C, H, W).
        mask: (1, 1, H, W), 1 inside the field of view.
        compared: (1, 1, H, W), 1 where both images show something.
        recipe: with softened rims, if it has any.
    """

    clean: Tensor
    degraded: Tensor
    mask: Tensor
    compared: Tensor
    recipe: Degradation

    @property
    def side(self) -> int:
        return min(self.clean.shape[-2:])

    def at(self, side: int, softness: float | None = None) -> Target:
        """The same with the shorter side so many pixels at most, by means over areas, and rims so soft."""
        recipe = self.recipe
        if softness is not None and "softness" in recipe.settings_table:
            recipe = changed(recipe, softness=softness)
        scale = min(side / self.side, 1.0)
        if scale == 1:
            return replace(self, recipe=recipe)
        size = [round(edge * scale) for edge in self.clean.shape[-2:]]
        clean, degraded, mask, compared = (
            functional.interpolate(one, size, mode="area")
            for one in (self.clean, self.degraded, self.mask, self.compared)
        )
        return Target(clean, degraded, (mask > 0.5).to(mask), (compared > 0.9).to(mask), recipe)

    def render(self, parameters: Parameters) -> Tensor:
        """(K, C, H, W) what the recipe makes of the clean image with parameters of K samples."""
        count = len(next(iter(parameters.values())))
        few = max(_AT_ONCE // self.clean.numel(), 1)
        frame = None
        if self.recipe.settings.get("frame") == "fov":  # what is worked on is the square around the field
            frame = torch.tensor([[0, 0, self.clean.shape[-1], self.clean.shape[-2]]])
        made = []
        with torch.no_grad():
            for start in range(0, count, few):
                some = {name: value[start : start + few].contiguous() for name, value in parameters.items()}
                size = len(next(iter(some.values())))
                image, mask = (x.expand(size, -1, -1, -1).contiguous() for x in (self.clean, self.mask))
                own = None if frame is None else frame.expand(size, -1).contiguous()
                made.append(self.recipe.apply(image, some, mask, **({} if own is None else {"frame": own})))
        return torch.cat(made)

    def differences(self, parameters: Parameters) -> Tensor:
        """(K, M) degraded less rendered, inside the field, at `_MOST_VALUES` places at most."""
        places = self.places()
        return (self.degraded.flatten()[places] - self.render(parameters).flatten(1)[:, places]).double()

    def places(self) -> Tensor:
        """(M,) which numbers of an image are compared."""
        inside = (self.compared > 0.5).expand_as(self.clean).flatten().nonzero()[:, 0]
        return inside[:: -(-len(inside) // _MOST_VALUES)]


def jacobian(target: Target, numbers: Numbers, vector: Tensor, now: Tensor) -> Tensor:
    """(P, M) how the differences change with each number, per its reach; by secants towards the middle.

    Args:
        now: (M,) the differences at the vector.
    """
    signs = torch.where(vector > 0.5, -1.0, 1.0).double()
    moved = vector + torch.diag(_SECANT * signs)
    return (target.differences(numbers.parameters(moved)) - now) / (_SECANT * signs)[:, None]


def descend(target: Target, numbers: Numbers, steps: int, robust: bool = False) -> tuple[Numbers, float]:
    """Lower the squares of the differences by damped Gauss-Newton steps (Levenberg, Marquardt).

    Args:
        target: the pair.
        numbers: where to begin.
        steps: at most; it ends where a step gains less than a ten thousandth.
        robust: differences beyond twice their spread count less and less (Cauchy's weights): spots that are not there
            yet shall not bend what is.

    Returns:
        where it ended, and the mean absolute difference there.
    """
    vector = numbers.vector()
    now = target.differences(numbers.parameters(vector[None]))[0]
    damping = 0.01
    for _ in range(steps if len(vector) else 0):
        spread = _spread(now, robust)
        cost = _cost(now, spread)
        slopes = jacobian(target, numbers, vector, now)
        weights = 1 / (1 + (now / spread) ** 2) if spread else torch.ones_like(now)
        weighted = (slopes * weights).float()
        square, right = (weighted @ slopes.float().T).double(), (weighted @ now.float()).double()
        damped = [damping * factor for factor in _DAMPING]
        tried = torch.stack([_step(square, right, vector, one) for one in damped])
        found = target.differences(numbers.parameters(tried))
        costs = [_cost(one, spread) for one in found]
        best = min(range(len(costs)), key=costs.__getitem__)
        if costs[best] >= cost:
            damping *= 100
            if damping > 1e4:
                break
            continue
        gain, cost = (cost - costs[best]) / cost, costs[best]
        vector, now, damping = tried[best], found[best], max(damped[best], 1e-6)
        if gain < 1e-4:
            break
    return numbers.at(vector), float(now.abs().mean())


def _step(square: Tensor, right: Tensor, vector: Tensor, damping: float) -> Tensor:
    """A step that stays within 0 and 1; numbers at an end that it would leave are held."""
    free = torch.ones_like(vector, dtype=torch.bool)
    moved = vector
    for _ in range(3):
        places = free.nonzero()[:, 0]
        if not len(places):
            break
        part = square[places][:, places]
        scale = part.diagonal() + 1e-6 * part.diagonal().amax() + 1e-12
        step = torch.linalg.solve(part + torch.diag(damping * scale), right[places])
        moved = vector.clone()
        moved[places] -= step
        held = ((moved < 0) & (vector <= 0)) | ((moved > 1) & (vector >= 1))
        if not bool(held.any()):
            break
        free &= ~held
    return torch.where(free, moved, vector).clamp(0, 1)


def _spread(differences: Tensor, robust: bool) -> float:
    """Where differences begin to count less; 0 for never."""
    return max(2 * 1.4826 * float(differences.abs().median()), 2 * _GREY_LEVEL) if robust else 0.0


def _cost(differences: Tensor, spread: float) -> float:
    if not spread:
        return float(differences.square().mean())
    return float(spread**2 * (1 + (differences / spread) ** 2).log().mean())
