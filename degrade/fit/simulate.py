"""Degrade and describe sets of images: what a fit compares with the real set, and what was drawn for each image."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.fit.describe import describe
from degrade.models.fundus.constants import BLUR, ILLUMINATION, SPOTS
from degrade.models.fundus.table import STAGE_BITS
from degrade.parameters import Parameters
from degrade.rng import keyed

_STAGE_NAMES = {ILLUMINATION: "stage.illumination", SPOTS: "stage.spots", BLUR: "stage.blur"}

_CHUNK = 4
"""Images that are degraded and described at once: what fits the caches."""


@dataclass(frozen=True)
class Pictures:
    """Prepared images: squares of one size, in [0, 1].

    Args:
        images: (B, C, S, S) float32.
        masks: (B, 1, S, S).
        names: where each came from.
    """

    images: Tensor
    masks: Tensor
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Tensor) -> Pictures:
        """Some of them, by number."""
        names = tuple(self.names[int(i)] for i in index) if self.names else ()
        return Pictures(self.images[index], self.masks[index], names)

    def describe(self) -> Tensor:
        """(B, F) float64."""
        size = self.images.shape[-1]
        with torch.no_grad():
            starts = range(0, len(self), _CHUNK)
            some = [slice(start, start + _CHUNK) for start in starts]
            return torch.cat([describe(self.images[s], self.masks[s], size) for s in some]).double()


def describe_degraded(recipe: Degradation, good: Pictures, keys: Tensor) -> tuple[Tensor, Parameters]:
    """Degrade each image by its key and describe it, without gradients: (B, F) float64, and what was drawn."""
    size, found = good.images.shape[-1], []
    parameters = recipe.draw(keys, size, size)
    with torch.no_grad():
        for start in range(0, len(good), _CHUNK):
            some = slice(start, start + _CHUNK)
            masks = good.masks[some]
            degraded = recipe.apply(good.images[some], {k: v[some] for k, v in parameters.items()}, masks)
            found.append(describe(degraded, masks, size))
    return torch.cat(found).double(), parameters


@dataclass(frozen=True)
class Drawn:
    """What was drawn for images, in numbers that an estimator is to tell.

    Args:
        values: (B, K) float64; columns of stages are 0 or 1.
        acted: (B, K) float64, 1 where a number's stage acted.
        names: K names; those of stages begin with "stage.".
        stages: K names of the stages that they belong to; empty for none.
    """

    values: Tensor
    acted: Tensor
    names: tuple[str, ...]
    stages: tuple[str, ...]


def numbers_drawn(recipe: Degradation, parameters: Parameters) -> Drawn:
    """The parameters that were drawn as columns. Of spots there are the number and the means of what they have."""
    columns: list[tuple[Tensor, Tensor, str, str]] = []
    acting = _acting(parameters)
    for p in recipe.parameter_table:
        if p.kind in ("key", "stages"):
            continue
        value = parameters[p.name].double()
        bit = STAGE_BITS.get(p.stage, 0) if acting else 0
        stage = _STAGE_NAMES.get(bit, "")
        on = acting[stage] if stage else torch.ones(len(value), dtype=torch.float64)
        if p.shape[:1] == ("N",):
            value = _mean_of_present(value, parameters["spot_height"] > 0)
        for number, column in enumerate(value.reshape(len(value), -1).unbind(1)):
            columns.append((column, on, p.name if value.ndim == 1 else f"{p.name}.{number}", stage))
    columns += [(on, torch.ones_like(on), name, "") for name, on in acting.items()]
    values, acted, names, stages = zip(*columns, strict=True)
    return Drawn(torch.stack(values, 1), torch.stack(acted, 1), names, stages)


def _acting(parameters: Parameters) -> dict[str, Tensor]:
    if "type" not in parameters:
        return {}
    return {name: ((parameters["type"] & bit) > 0).double() for bit, name in _STAGE_NAMES.items()}


def _mean_of_present(value: Tensor, present: Tensor) -> Tensor:
    """(B, N, ...), (B, N) -> (B, ...)."""
    weight = present.double().reshape(*present.shape, *[1] * (value.ndim - 2))
    return (value * weight).sum(1) / weight.sum(1).clamp_min(1)


def set_keys(number: int, count: int, seed: int = 0) -> Tensor:
    """(count,) keys of a simulated set, another one per number."""
    return keyed.make_keys(seed, [f"{number}/{index}" for index in range(count)])
