"""State in, picture out: what the page shows of an image, a recipe, a seed and changed parameters."""

from __future__ import annotations

import base64
import time
from typing import Any

import msgspec
import torch
from torch import Tensor

import degrade
from degrade.images import image_io
from degrade.settings import Choice, Range, Value, closest

from . import sliders, words
from .images import LARGEST_SIDE, Opened, fitted


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that a picture depends on.

    Args:
        image: handle of an image.
        recipe: a name from `degrade.RECIPES`; never a path.
        severity: level, or level and stage, such as "4:blur"; empty for the recipe as published.
        settings: of the recipe that differ.
        seed: of the draw; with the image's id it is the key.
        parameters: numbers of this picture that differ from those drawn, by place (`sliders.Place`).
        stage: the one that acts alone; empty for all.
        size: pixels of the longer side at most.
    """

    image: str
    recipe: str
    severity: str = ""
    settings: dict[str, bool | float | str | list[float]] = {}
    seed: int = 0
    parameters: dict[str, float] = {}
    stage: str = ""
    size: int = 768


def answer(state: State, opened: Opened) -> dict[str, Any]:
    """The degraded picture as the page shows it, its parameters, and what can be taken away.

    Raises:
        ValueError: naming the field that cannot be used, and what is allowed.
    """
    chosen = words.Chosen(state.recipe, state.severity, state.settings)
    recipe = chosen.recipe
    image = shown(state, opened)
    height, width = image.shape[-2:]
    start = time.perf_counter()
    key = degrade.make_keys(state.seed, [opened.id])
    parameters = sliders.changed(recipe, recipe.draw(key, height, width), state.parameters)
    stages = recipe.stages(parameters)
    if state.stage and state.stage not in stages:
        raise ValueError(f"stage {state.stage!r}: {recipe.name} has no such stage{closest(state.stage, stages)}")
    degraded = recipe.apply(image, stages[state.stage] if state.stage else parameters)
    seconds = time.perf_counter() - start
    return {
        "degraded": data_uri(degraded[0]),
        "milliseconds": 1000 * seconds,
        "width": width,
        "height": height,
        "file": [opened.image.shape[2], opened.image.shape[1]],
        "id": opened.id,
        "key": str(int(key)),
        "rows": sliders.rows(recipe, parameters, (height, width)),
        "stages": list(stages),
        "settings": {name: _value(value) for name, value in recipe.settings.items()},
        "changed": list(chosen.changes),
        "toml": recipe.to_toml(),
        "set": chosen.options,
        "synth": words.synth(chosen, opened, state.seed),
        "python": words.python(chosen, opened, state.seed, state.parameters, state.stage),
    }


def clean(state: State, opened: Opened) -> dict[str, Any]:
    """The clean picture at the same size."""
    return {"clean": data_uri(shown(state, opened)[0])}


def shown(state: State, opened: Opened) -> Tensor:
    """The image (1, C, H, W) in [0, 1] at the size that is shown."""
    if not 32 <= state.size <= LARGEST_SIDE:
        raise ValueError(f"size = {state.size}: allowed is 32 to {LARGEST_SIDE} pixels")
    return fitted(opened.image, state.size)


def described() -> dict[str, Any]:
    """Every recipe by name: its summary, its citation and its settings, with what the page needs to show them."""
    found = {}
    for name, preset in degrade.RECIPES.items():
        recipe = degrade.recipe(name)
        rows = []
        for key, setting in recipe.settings_table.items():
            row: dict[str, Any] = {"name": key, "unit": setting.unit, "meaning": setting.meaning}
            row["value"] = _value(recipe.settings[key])
            if isinstance(setting, Choice):
                row |= {"kind": "choice", "choices": list(setting.choices)}
            else:
                row |= {"kind": "range" if isinstance(setting, Range) else "number", "limits": list(setting.limits)}
                row |= {"whole": isinstance(setting, Range) and setting.whole}
            rows.append(row)
        found[name] = {"summary": preset.summary, "citation": preset.citation, "settings": rows}
        found[name]["severities"] = words.severities(name)
    return found


def data_uri(image: Tensor) -> str:
    """A picture (C, H, W), perhaps beyond [0, 1], as a PNG of 8 bits in text."""
    png = image_io.encode(image_io.to_integer(image.detach().to(torch.float32)), "png")
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _value(value: Value) -> bool | float | str | list[float]:
    return list(value) if isinstance(value, tuple) else value
