"""What can be taken away from the page: the recipe as TOML, its changes as --set, the picture as Python and command."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import degrade
from degrade.settings import Value, closest
from degrade.severity import ALL, LEVELS, stages

from .images import Opened


@dataclass(frozen=True)
class Chosen:
    """A recipe as the page chooses it: a published name, a severity such as "4" or "4:blur" ("" for none), settings.

    >>> chosen = Chosen("cofe-net", settings={"brightness": 0.8, "spot_count": [0, 3], "type": "011"})
    >>> chosen.options
    '--set type=011 --set brightness=0.8 --set spot_count=0,3'
    """

    name: str
    severity: str = ""
    settings: Mapping[str, bool | float | str | list[float]] | None = None

    @cached_property
    def recipe(self) -> degrade.Degradation:
        """The recipe; ValueError for what cannot be. Names only: what could be a path is refused."""
        if self.name not in degrade.RECIPES:
            raise ValueError(f"unknown recipe {self.name!r:.80}{closest(self.name[:100], degrade.RECIPES)}")
        return degrade.recipe(self.name, **self._graded, **dict[str, Any](self.settings or {}))

    @cached_property
    def changes(self) -> dict[str, Value]:
        """The settings in which it differs from the published recipe of that severity."""
        published = degrade.recipe(self.name, **self._graded).settings
        return {name: value for name, value in self.recipe.settings.items() if value != published[name]}

    @property
    def options(self) -> str:
        """Severity and changes as options of the commands; empty where there are none."""
        severity = [f"--severity {self.severity}"] if self.severity else []
        return " ".join(severity + [f"--set {shlex.quote(f'{name}={_text(v)}')}" for name, v in self.changes.items()])

    @property
    def python(self) -> str:
        """The recipe as Python makes it."""
        given = {name: value for name, value in self._graded.items() if value is not None} | self.changes
        return f'degrade.recipe("{self.name}"{"".join(f", {name}={value!r}" for name, value in given.items())})'

    @property
    def _graded(self) -> dict[str, Any]:
        if not self.severity:
            return {}
        match = re.fullmatch(r"([1-5])(?::(\w{1,40}))?", self.severity)
        if match is None:
            raise ValueError(f"severity = {self.severity!r:.80}: allowed is 1 to 5, or with a stage, such as 4:blur")
        return {"severity": int(match[1]), "stage": match[2]}


def severities(name: str) -> list[tuple[str, str]]:
    """The severities of a recipe that can be chosen, as values and words.

    >>> severities("x-bdcnn")[:3]
    [('', 'as published (3)'), ('1', '1, little'), ('2', '2')]
    """
    words = {1: "1, little", 2: "2", 3: "3", 4: "4", 5: "5, much"}
    found = [("", "as published (3)"), *((str(level), words[level]) for level in LEVELS if level != 3)]
    alone = stages(degrade.RECIPES[name].model)
    if alone[:1] == (ALL,):
        found += [(f"{level}:{stage}", f"{words[level]}: {stage} alone") for stage in alone[1:] for level in LEVELS]
    return found


def changes(recipe: degrade.Degradation) -> dict[str, Value]:
    """The settings in which any recipe differs from the published one of its name.

    >>> changes(degrade.recipe("cofe-net", brightness=0.8))
    {'brightness': 0.8}
    """
    published = degrade.recipe(recipe.name).settings
    return {name: value for name, value in recipe.settings.items() if value != published[name]}


def synth(chosen: Chosen, opened: Opened, seed: int) -> str:
    """The command whose first view of the image is this draw of the recipe."""
    command = f"degrade synth {shlex.quote(opened.source)} pairs/ --recipe {chosen.name}"
    return " ".join(filter(None, [command, chosen.options, f"--seed {seed}"]))


def python(chosen: Chosen, opened: Opened, seed: int, parameters: Mapping[str, float], stage: str = "") -> str:
    """Python that makes the picture at full size; with `parameters` by place, or of one stage, through `draw`."""
    lines = ["import degrade"]
    if "image_io" in opened.python or parameters or stage:
        lines.append("from degrade.images import image_io")
    if opened.python.startswith("open_source"):
        lines.append("from degrade.stream import open_source")
    lines += ["", f"image = {opened.python}", f"recipe = {chosen.python}"]
    if not parameters and not stage:
        lines.append(f"degraded = degrade.degrade(image, recipe, seed={seed}, id={opened.id!r})")
        return "\n".join(lines) + "\n"
    lines.append("image = image_io.to_float(image)[None]")
    lines.append(f"key = degrade.make_keys({seed}, [{opened.id!r}])")
    lines.append("parameters = recipe.draw(key, *image.shape[-2:])")
    for place, value in parameters.items():
        name, *index = place.split(".")
        number = int(value) if chosen.recipe.parameter_table[name].kind == "stages" else value
        lines.append(f'parameters["{name}"][{", ".join(["0", *index])}] = {number!r}')
    if stage:
        lines.append(f'parameters = recipe.stages(parameters)["{stage}"]')
    lines.append("degraded = recipe.apply(image, parameters)")
    return "\n".join(lines) + "\n"


def _text(value: Value) -> str:
    """A setting's value as --set takes it."""
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    return str(value).lower() if isinstance(value, bool) else value
