"""The sliders of a picture: a row for every number among its parameters, with unit, meaning and span."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch

import degrade
from degrade.display import type_words
from degrade.models.fundus.table import STAGE_BITS
from degrade.parameters import Parameter, Parameters
from degrade.settings import Range

_DRAWS = 64
_POINT, _SIZE, _COLOR = ("x", "y"), ("width", "height"), ("red", "green", "blue")
_SURFACE = ("1", "x", "y", "x²", "xy", "y²")


class Place(NamedTuple):
    """One number of one sample's parameters: "spot_center.2.1" is y of the third spot."""

    parameter: Parameter
    at: tuple[int, ...]

    @property
    def name(self) -> str:
        return ".".join([self.parameter.name, *map(str, self.at)])


def places(recipe: degrade.Degradation, parameters: Parameters) -> Iterator[Place]:
    """Every number of the first sample, in the order of the table."""
    for parameter in recipe.parameter_table:
        for index in np.ndindex(*parameters[parameter.name].shape[1:]):
            yield Place(parameter, index)


def changed(recipe: degrade.Degradation, parameters: Parameters, changes: Mapping[str, float]) -> Parameters:
    """Parameters of one sample with some numbers replaced, by the names of their places.

    Raises:
        ValueError: for a name that no number has, and for what is no number of its kind.

    >>> d = degrade.recipe("x-bdcnn")
    >>> float(changed(d, d.draw(["a"], 64, 64), {"sigma": 7.5})["sigma"])
    7.5
    """
    there = {place.name: place for place in places(recipe, parameters)}
    made = {name: value.clone() for name, value in parameters.items()}
    for name, value in changes.items():
        if name not in there:
            raise ValueError(f"{recipe.name} has no parameter {name!r} in this picture")
        parameter, index = there[name]
        if parameter.kind in ("key", "count") or (parameter.kind != "real" and value != int(value)):
            raise ValueError(f"{name} = {value:g}: it follows from the others, or needs a whole number")
        made[parameter.name][(0, *index)] = value if parameter.kind == "real" else int(value)
    return made


def rows(recipe: degrade.Degradation, parameters: Parameters, shape: tuple[int, int]) -> list[dict[str, Any]]:
    """What the page shows of each number of one sample.

    Args:
        recipe: that drew them.
        parameters: of one sample.
        shape: height and width of the image, pixels.

    Returns:
        per number its place's name, parameter, stage, unit, meaning, kind, value, span (of the slider) and allowed
        values; the item (which spot) it belongs to, or None; whether its stage acts; and whether the recipe's setting
        of the same name is what it was drawn from.
    """
    spans = _spans(recipe.to_toml(), *shape)
    acting = _acting(parameters)
    found = []
    for place in places(recipe, parameters):
        parameter, index = place
        value = parameters[parameter.name][(0, *index)].item()
        setting = recipe.settings_table.get(place.name)
        of_items = parameter.shape[:1] == ("N",)
        low, high = spans.get((parameter.name, index[1:] if of_items else index), (0.0, 0.0))
        found.append(
            {
                "name": place.name,
                "label": parameter.name,
                "part": _part(parameter, index[1:] if of_items else index),
                "item": index[0] if of_items else None,
                "stage": parameter.stage,
                "unit": parameter.unit or (setting.unit if setting else ""),
                "meaning": parameter.meaning,
                "kind": parameter.kind,
                "value": str(value) if parameter.kind == "key" else value,  # 64 bits are more than JavaScript has
                "span": [min(low, value), max(high, value)] if parameter.kind != "key" else [],
                "allowed": list(parameter.allowed),
                "range": parameter.range_text,
                "acts": parameter.stage not in STAGE_BITS
                or acting is None
                or bool(acting & STAGE_BITS[parameter.stage]),
                "setting": parameter.kind == "real" and isinstance(setting, Range),
                "choices": _choices(parameter),
            }
        )
    return found


@lru_cache(maxsize=8)
def _spans(toml: str, height: int, width: int) -> dict[tuple[str, tuple[int, ...]], tuple[float, float]]:
    """Slider's ends by parameter and component: of the draws of a recipe."""
    recipe = degrade.recipe(toml)
    drawn = recipe.draw(degrade.make_keys(0, _DRAWS), height, width)
    found = {}
    for parameter in recipe.parameter_table:
        values = drawn[parameter.name]
        if parameter.kind == "key":
            continue
        if parameter.shape[:1] == ("N",):
            values = values.flatten(0, 1)  # all the spots of all draws
        for index in np.ndindex(*values.shape[1:]):
            found[parameter.name, index] = _span(values[:, *index].to(torch.float64), parameter)
    return found


def _span(values: torch.Tensor, parameter: Parameter) -> tuple[float, float]:
    """What was drawn and the neutral value, if that is near, and half as much around; within what is allowed."""
    least, most = parameter.allowed
    if not len(values):
        return least, most
    low, high = float(values.min()), float(values.max())
    near = 5 * (high - low) or 0.1 * (most - least)
    if parameter.neutral is not None and low - near <= parameter.neutral <= high + near:
        low, high = min(low, parameter.neutral), max(high, parameter.neutral)
    margin = 0.5 * (high - low) or 0.5 * abs(high) or 0.05 * (most - least)
    return max(least, low - margin), min(most, high + margin)


def _acting(parameters: Parameters) -> int:
    """The stages that act, as bits; -1, all of them, for models without types."""
    return int(parameters["type"][0]) if "type" in parameters else -1


def _part(parameter: Parameter, index: tuple[int, ...]) -> str:
    """What a component is called; empty for a plain number."""
    if not index:
        return ""
    (size,) = (part for part in parameter.shape if part != "N")
    names = {2: _POINT if parameter.name.endswith("center") else _SIZE, 3: _COLOR, 6: _SURFACE}
    return names.get(size, tuple(map(str, range(size))))[index[0]] if isinstance(size, int) else ""


def _choices(parameter: Parameter) -> list[list[Any]]:
    """Values and words of a parameter that says which stages act."""
    if parameter.kind != "stages":
        return []
    return [[code, f"{code:03b}  {type_words(code)}"] for code in range(int(parameter.allowed[1]) + 1)]
