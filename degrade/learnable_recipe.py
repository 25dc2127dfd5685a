"""Learnable recipes: ranges and stage probabilities as parameters that gradients flow into."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from degrade.base import Degradation
from degrade.fit.space import Space, changed
from degrade.parameters import Parameters
from degrade.recipes import recipe as open_recipe
from degrade.rng import keyed

_SOFT = 2 / 512
_STEP = 0.25  # of the starting range's width: the reach of the secants that stand for derivatives of draws
_STAGE_BITS = {"illumination_probability": 1, "spots_probability": 2, "blur_probability": 4}
_CERTAIN = 1e-3
_COUNT = "spot_count"


class LearnableRecipe(nn.Module):
    """A recipe whose ranges and stage probabilities are learned. Make one with `degrade.learnable`.

    `values` (D,) holds two ends per range, in units of the starting recipe's width from its middle, and a probability
    per stage; `labels` names them. What is drawn is what `to_recipe()` draws with the same keys. Gradients:

    - A draw is low + u (high - low) with u from the key; its derivatives in the ends are exact. Draws on whole pixels,
      and what is computed from draws, have secants over half the range's width in place of derivatives.
    - A count of spots moves the height of the spot that comes next.
    - Choices of stages have no gradient through the image: `surrogate` adds that of the score function.

    Ends outside the limits are moved into them where they are used, and gradients pass as if they had not been.

    Attributes:
        values: the one parameter, float32 (D,). A learning rate of 0.01 is a hundredth of a range's width a step.
        space: which numbers there are.
    """

    def __init__(self, recipe: Degradation, settings: Iterable[str] | None = None, softness: float = _SOFT) -> None:
        super().__init__()
        self.space = Space.of(recipe, settings)
        self.values = nn.Parameter(self.space.vector().float())
        self._soft = {}
        if "softness" in self.space.start.settings_table and not self.space.start.settings["softness"]:
            self._soft = {"softness": softness}
        self._applied = changed(self.space.start, **self._soft)

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each of `values`."""
        return self.space.labels

    def to_recipe(self) -> Degradation:
        """The recipe as it is now, an ordinary one: `to_recipe().to_toml()` is its file."""
        return self.space.recipe(self.space.within(self.values.detach().double()))

    def draw(self, keys: keyed.Keys, height: int, width: int) -> Parameters:
        """As `Degradation.draw`, with gradients in `values`."""
        keys = keyed.as_keys(keys)
        names = [p.name for p in self.space.start.parameter_table if p.kind == "real"]
        drawn = self._hard(self.values.detach(), keys, height, width)
        moved: tuple[Tensor, ...] = _Draw.apply(  # type: ignore[no-untyped-call]
            self.values, self, names, drawn, keys, height, width
        )
        return {**drawn, **dict(zip(names, moved, strict=True))}

    def sample(
        self, image: Tensor, keys: keyed.Keys | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Parameters]:
        """As `Degradation.sample`, with gradients in the image and in `values`."""
        keys = keyed.random_keys(image.shape[0]) if keys is None else keyed.as_keys(keys)
        parameters = self.draw(keys, *image.shape[-2:])
        return self._applied.apply(image, parameters, mask), parameters

    def forward(self, image: Tensor, keys: keyed.Keys | None = None, mask: Tensor | None = None) -> Tensor:
        """`sample` without the parameters."""
        return self.sample(image, keys, mask)[0]

    def log_probability(self, parameters: Parameters) -> Tensor:
        """(B,) the logarithm of the chance of the stages that act, differentiable in `values`; 0 where types are fixed.

        Probabilities count as at least 0.001 from 0 and 1.
        """
        total = self.values.new_zeros(len(next(iter(parameters.values()))))
        for at, label in enumerate(self.labels):
            if label in _STAGE_BITS:
                chance = self.values[at]
                chance = chance + (chance.clamp(_CERTAIN, 1 - _CERTAIN) - chance).detach()
                acts = (parameters["type"] & _STAGE_BITS[label]) > 0
                total = total + torch.where(acts, chance.log(), (1 - chance).log())
        return total

    def surrogate(self, losses: Tensor, parameters: Parameters) -> Tensor:
        """A loss whose gradient is that of the expected loss, choices of stages included.

        Each sample's loss, less the mean of the others', multiplies the gradient of its log-probability (Williams 1992,
        with a leave-one-out baseline): unbiased, with a variance that falls with the batch.

        Args:
            losses: (B,) one per sample; of a distance between sets, each sample's contribution
                (`degrade.fit.distance.energy_contributions`).
            parameters: with which the samples were made, from `sample`.

        Returns:
            a scalar with the value of `losses.mean()`.
        """
        others = (losses.sum() - losses) / max(len(losses) - 1, 1)
        score = ((losses - others).detach() * self.log_probability(parameters)).mean()
        return losses.mean() + score - score.detach()

    def extra_repr(self) -> str:
        return repr(self.to_recipe())

    def _hard(self, values: Tensor, keys: Tensor, height: int, width: int) -> Parameters:
        vector = self.space.within(values.double())
        return changed(self.space.recipe(vector), **self._soft).draw(keys, height, width)


class _Draw(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        module: LearnableRecipe,
        names: list[str],
        drawn: Parameters,
        keys: Tensor,
        height: int,
        width: int,
    ) -> tuple[Tensor, ...]:
        ctx.module, ctx.names, ctx.drawn, ctx.shape = module, names, drawn, (height, width)
        ctx.save_for_backward(values, keys)
        return tuple(drawn[name].clone() for name in names)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        values, keys = ctx.saved_tensors
        by_name = {name: g for name, g in zip(ctx.names, gradients, strict=True) if g is not None}
        found = torch.zeros_like(values)
        knobs = {label: knob for knob in ctx.module.space.knobs for label in knob.labels}
        for at, knob in enumerate(knobs.values()):
            if knob.name == _COUNT:
                found[at] = _next_spot(ctx.module, values, at, by_name, ctx.drawn, keys, ctx.shape)
            elif not knob.is_probability:
                step = max(_STEP, 1 / knob.width) if knob.whole else _STEP
                found[at] = _secant(ctx.module, values, at, step, by_name, keys, ctx.shape)
        return found, None, None, None, None, None, None


def _secant(
    module: LearnableRecipe,
    values: Tensor,
    at: int,
    step: float,
    gradients: dict[str, Tensor],
    keys: Tensor,
    shape: tuple[int, int],
) -> Tensor:
    """The gradients times the slope of the draws between `values` moved down and up in one place."""
    vectors = []
    for sign in (-1, 1):
        moved = values.double().clone()
        moved[at] += sign * step
        vectors.append(_kept_in_order(module.space, moved, at))
    distance = float(vectors[1][at] - vectors[0][at])
    if distance < 1e-6:
        return values.new_zeros(())
    low, high = (module._hard(vector, keys, *shape) for vector in vectors)
    total = sum(((high[name] - low[name]).to(g) * g).sum() for name, g in gradients.items())
    return torch.as_tensor(total, dtype=values.dtype) / distance


def _kept_in_order(space: Space, vector: Tensor, at: int) -> Tensor:
    """Keep one number of a vector within the limits of its setting and on its side of the range's other end."""
    name, _, end = space.labels[at].partition(".")
    knob = next(knob for knob in space.knobs if knob.name == name)
    middle = (knob.low + knob.high) / 2
    low, high = ((limit - middle) / knob.width for limit in knob.limits)
    low, high = (low, float(vector[at + 1])) if end == "low" else (float(vector[at - 1]), high)
    vector[at] = vector[at].clamp(low, max(low, high))
    return vector


def _next_spot(
    module: LearnableRecipe,
    values: Tensor,
    at: int,
    gradients: dict[str, Tensor],
    drawn: Parameters,
    keys: Tensor,
    shape: tuple[int, int],
) -> Tensor:
    """The derivative in an end of the count: the spot that comes next appears, at its full height."""
    slots = drawn["spot_height"].shape[1]
    if "spot_height" not in gradients or not slots:
        return values.new_zeros(())
    u = keyed.uniforms(keys, {_COUNT: 1})[_COUNT][:, 0]
    share = 1 - u if module.labels[at].endswith("low") else u  # of low + (high + 1 - low) u
    full = changed(module.to_recipe(), spot_count=slots).draw(keys, *shape)["spot_height"]
    following = drawn[_COUNT].clamp_max(slots - 1)[:, None]
    slope = (full * gradients["spot_height"]).gather(1, following)[:, 0]
    width = next(knob.width for knob in module.space.knobs if knob.name == _COUNT)
    return (share * slope).sum().to(values.dtype) * width


def learnable(
    recipe: Degradation | str | os.PathLike[str], settings: Iterable[str] | None = None, softness: float = _SOFT
) -> LearnableRecipe:
    """Make a recipe learnable: its ranges and stage probabilities become parameters of a module.

    Args:
        recipe: a `Degradation`, or what `degrade.recipe` takes. `type="random"` becomes "independent".
        settings: names of the settings that are learned; by default every range with two ends, and the probabilities.
        softness: of rims, for recipes that have none: hard rims have no gradient in centers and radii.

    Raises:
        ValueError: names that are no ranges, or nothing to learn.

    >>> import degrade
    >>> image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 4), 64)
    >>> module = learnable(degrade.recipe("cofe-net", type="001"), ["brightness"])
    >>> module(image, degrade.make_keys(0, 4), mask).mean().backward()
    >>> module.labels, bool((module.values.grad > 0).all())
    (('brightness.low', 'brightness.high'), True)
    >>> module.to_recipe().settings["brightness"]
    (0.7, 1.2)
    """
    return LearnableRecipe(open_recipe(recipe), settings, softness)
