"""The recipes that a fit looks among: ends of ranges and stage probabilities as one vector of numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.recipes import recipe as open_recipe
from degrade.settings import Range, closest, ends

_PROBABILITY = "_probability"
_RANDOM = 4 / 7  # how often each stage acts where one of the seven subsets of three is drawn


@dataclass(frozen=True)
class Knob:
    """One range of a recipe, or one stage's probability.

    Args:
        name: of the setting.
        low, high: its ends in the recipe that the fit starts from, in its own unit; equal for a probability.
        limits: of what the setting may be.
        width: the unit that changes are counted in: the range's width; 1 for a probability.
        whole: whether whole numbers are drawn.
    """

    name: str
    low: float
    high: float
    limits: tuple[float, float]
    width: float
    whole: bool = False

    @property
    def is_probability(self) -> bool:
        return self.name.endswith(_PROBABILITY)

    @property
    def labels(self) -> tuple[str, ...]:
        """What its numbers in the vector are called."""
        return (self.name,) if self.is_probability else (f"{self.name}.low", f"{self.name}.high")


@dataclass(frozen=True)
class Space:
    """Recipes of one model that differ in some ranges.

    A vector has two numbers per range, its ends, in units of the starting recipe's width from its middle, so that
    (-0.5, 0.5) is the range itself; and one per probability, itself.

    Args:
        start: the recipe that everything else is taken from.
        knobs: what varies, in order.
    """

    start: Degradation
    knobs: tuple[Knob, ...]

    @staticmethod
    def of(recipe: Degradation | str, settings: Iterable[str] | None = None) -> Space:
        """The ranges of a recipe that are drawn, and its stages' probabilities.

        Args:
            recipe: a recipe or what `degrade.recipe` takes. `type="random"` becomes "independent", with 4/7 for each.
            settings: names of the settings that vary; by default every range with two ends, and the probabilities
                where the type is random or independent. A setting that is fixed gets a width of a tenth of its limits.

        Raises:
            ValueError: a name that is no range of the model, or nothing that varies.
        """
        start = open_recipe(recipe)
        if start.settings.get("type") == "random":
            chances = {name: _RANDOM for name in start.settings_table if name.endswith(_PROBABILITY)}
            start = changed(start, type="independent", **chances)
        ranges = {name: rule for name, rule in start.settings_table.items() if isinstance(rule, Range)}
        chances = {name: 1.0 for name in start.settings_table if name.endswith(_PROBABILITY)}
        if start.settings.get("type") != "independent":
            chances = {}
        if settings is None:
            drawn = [name for name in ranges if isinstance(start.settings[name], tuple)]
            settings = [*drawn, *chances]
        knobs = []
        for name in settings:
            if name in chances:
                value = ends(start.settings[name])[0]
                knobs.append(Knob(name, value, value, (0.0, 1.0), 1.0))
            elif name in ranges:
                low, high = ends(start.settings[name])
                rule = ranges[name]
                width = high - low if high > low else 0.1 * (rule.limits[1] - rule.limits[0])
                knobs.append(Knob(name, low, high, rule.limits, width, rule.whole))
            else:
                raise ValueError(f"settings has {name!r}, which is no range{closest(name, [*ranges, *chances])}")
        if not knobs:
            raise ValueError(f"recipe {start.name!r} draws nothing from a range: name the settings that shall vary")
        return Space(start, tuple(knobs))

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the numbers of a vector."""
        return tuple(label for knob in self.knobs for label in knob.labels)

    @property
    def size(self) -> int:
        """How many numbers a vector has."""
        return len(self.labels)

    def vector(self, recipe: Degradation | None = None) -> Tensor:
        """(D,) float64: of a recipe of the same model; of the starting one by default."""
        values = (self.start if recipe is None else recipe).settings
        numbers: list[float] = []
        for knob in self.knobs:
            pair = ends(values[knob.name])
            numbers += [pair[0]] if knob.is_probability else [(end - _middle(knob)) / knob.width for end in pair]
        return torch.tensor(numbers, dtype=torch.float64)

    def settings(self, vector: Tensor) -> dict[str, float | tuple[float, float]]:
        """Ranges in their own units, within their limits and in order, whole where whole numbers are drawn."""
        numbers, found, at = vector.tolist(), dict[str, float | tuple[float, float]](), 0
        for knob in self.knobs:
            if knob.is_probability:
                found[knob.name] = float(f"{min(max(numbers[at], 0.0), 1.0):.6g}")
            else:
                pair = sorted(_middle(knob) + knob.width * number for number in numbers[at : at + 2])
                pair = [float(f"{min(max(end, knob.limits[0]), knob.limits[1]):.6g}") for end in pair]
                pair = [float(round(end)) for end in pair] if knob.whole else pair
                found[knob.name] = (pair[0], pair[1]) if pair[0] < pair[1] else pair[0]
            at += len(knob.labels)
        return found

    def in_units(self, vector: Tensor) -> list[float]:
        """The numbers of a vector in their settings' own units, neither ordered nor limited."""
        numbers, found, at = vector.tolist(), [], 0
        for knob in self.knobs:
            for number in numbers[at : at + len(knob.labels)]:
                found.append(number if knob.is_probability else _middle(knob) + knob.width * number)
            at += len(knob.labels)
        return found

    def recipe(self, vector: Tensor) -> Degradation:
        """The recipe of a vector."""
        return changed(self.start, **self.settings(vector))

    def within(self, vectors: Tensor) -> Tensor:
        """(..., D) moved into the limits, ends in order."""
        columns, at = [], 0
        for knob in self.knobs:
            part = vectors[..., at : at + len(knob.labels)]
            if knob.is_probability:
                columns.append(part.clamp(0, 1))
            else:
                low, high = ((end - _middle(knob)) / knob.width for end in knob.limits)
                columns.append(part.sort(dim=-1).values.clamp(low, high))
            at += len(knob.labels)
        return torch.cat(columns, dim=-1)

    def prior(self, count: int, generator: torch.Generator, reach: float = 1.0) -> Tensor:
        """(count, D) recipes around the start.

        A range's middle moves by up to half its width times `reach`, its width is multiplied by a log-uniform factor
        from 2^-reach to 2^reach; probabilities are uniform from 0 to 1. Ends are moved into the limits.
        """
        columns = []
        for knob in self.knobs:
            u = torch.rand(count, 2, generator=generator, dtype=torch.float64)
            if knob.is_probability:
                columns.append(u[:, :1])
            else:
                middle = (2 * u[:, 0] - 1) * 0.5 * reach + ((knob.low + knob.high) / 2 - _middle(knob)) / knob.width
                half = 0.5 * torch.exp2((2 * u[:, 1] - 1) * reach)
                columns.append(torch.stack([middle - half, middle + half], dim=1))
        return self.within(torch.cat(columns, dim=1))

    def prior_widths(self, reach: float = 1.0) -> Tensor:
        """(D,) the width of each number's prior, from its smallest to its largest value before limits."""
        factor = 0.5 * (2.0**reach - 2.0**-reach)
        widths = [[1.0] if knob.is_probability else [reach + factor] * 2 for knob in self.knobs]
        return torch.tensor([width for pair in widths for width in pair], dtype=torch.float64)


def changed(recipe: Degradation, **settings: Any) -> Degradation:
    """A recipe with other settings."""
    return open_recipe(recipe.to_toml(), **settings)


def _middle(knob: Knob) -> float:
    return (knob.low + knob.high) / 2


def only(space: Space, names: Sequence[str]) -> Space:
    """The same space with fewer settings that vary."""
    return replace(space, knobs=tuple(knob for knob in space.knobs if knob.name in names))
