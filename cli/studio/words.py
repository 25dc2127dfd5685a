"""What can be taken away from the page: the recipe as TOML, its changes as --set, the picture as Python and command."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import degrade
from degrade.settings import Value

from .images import Opened


def changes(recipe: degrade.Degradation) -> dict[str, Value]:
    """The settings in which a recipe differs from the published one of its name.

    >>> changes(degrade.recipe("cofe-net", brightness=0.8))
    {'brightness': 0.8}
    """
    published = degrade.recipe(recipe.name).settings
    return {name: value for name, value in recipe.settings.items() if value != published[name]}


def set_line(recipe: degrade.Degradation) -> str:
    """The changes of a recipe as options of the commands; empty where there are none.

    >>> set_line(degrade.recipe("cofe-net", brightness=0.8, spot_count=(0, 3), type="011"))
    '--set type=011 --set brightness=0.8 --set spot_count=0,3'
    """
    return " ".join(f"--set {shlex.quote(f'{name}={_text(value)}')}" for name, value in changes(recipe).items())


def synth(recipe: degrade.Degradation, opened: Opened, seed: int) -> str:
    """The command whose first view of the image is this draw of the recipe."""
    command = f"degrade synth {shlex.quote(opened.source)} pairs/ --recipe {recipe.name}"
    return " ".join(filter(None, [command, set_line(recipe), f"--seed {seed}"]))


def python(
    recipe: degrade.Degradation, opened: Opened, seed: int, parameters: Mapping[str, float], stage: str = ""
) -> str:
    """Python that makes the picture at full size; with `parameters` by place, or of one stage, through `draw`."""
    settings = "".join(f", {name}={value!r}" for name, value in changes(recipe).items())
    made = f'degrade.recipe("{recipe.name}"{settings})'
    lines = ["import degrade"]
    if "image_io" in opened.python or parameters or stage:
        lines.append("from degrade.images import image_io")
    if opened.python.startswith("open_source"):
        lines.append("from degrade.stream import open_source")
    lines += ["", f"image = {opened.python}", f"recipe = {made}"]
    if not parameters and not stage:
        lines.append(f"degraded = degrade.degrade(image, recipe, seed={seed}, id={opened.id!r})")
        return "\n".join(lines) + "\n"
    lines.append("image = image_io.to_float(image)[None]")
    lines.append(f"key = degrade.make_keys({seed}, [{opened.id!r}])")
    lines.append("parameters = recipe.draw(key, *image.shape[-2:])")
    for place, value in parameters.items():
        name, *index = place.split(".")
        number = int(value) if recipe.parameter_table[name].kind == "stages" else value
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
