"""Measure the levels of `degrade.severity` on phantoms: `python -m benchmarks.severity` writes their table."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

import degrade
from degrade import severity, severity_table
from degrade.severity import STEP

_COUNT, _SIDE, _SEED = 24, 256, 20
_MOST = 50.0  # decibels: of nearly equal images, as much as of equal ones
_WEAKEST, _STRONGEST, _HALVINGS = 1 / 64, 4.0, 14

FILE = Path(severity_table.__file__)


@cache
def phantoms(kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Images (24, C, 256, 256), masks and keys, always the same ones."""
    keys = degrade.make_keys(_SEED, _COUNT)
    if kind == "Fundus" or kind == "Cataract":
        image, _, mask = degrade.phantom.fundus(keys, _SIDE)
        return image, mask, keys
    image = degrade.phantom.cornea(keys, _SIDE)[0] if kind == "Cornea" else degrade.phantom.chest(keys, _SIDE)[0]
    return image, torch.ones_like(image[:, :1]), keys


def mean_psnr(d: degrade.Degradation) -> float:
    """Mean PSNR within the field of view of what a recipe makes of the phantoms, decibels."""
    image, mask, keys = phantoms(type(d).__name__)
    with torch.no_grad():
        square = (d(image, keys, mask) - image).square() * mask
    mean = square.sum((1, 2, 3)) / (mask.sum((1, 2, 3)) * image.shape[1])
    return float((-10 * mean.clamp_min(1e-12).log10()).clamp_max(_MOST).mean())


def at(name: str, strength: float, stage: str) -> degrade.Degradation:
    """A recipe, or one of its stages, at a strength."""
    d = degrade.recipe(name)
    return degrade.recipe(name, **severity.at_strength(type(d), d.settings_table, d.settings, strength, stage))


def calibrated(name: str, stage: str) -> severity_table.Levels:
    """The strengths of the five levels."""

    def psnr(strength: float) -> float:
        return mean_psnr(at(name, strength, stage))

    middle = psnr(1.0)
    found = [_searched(psnr, middle + (3 - level) * STEP) if level != 3 else 1.0 for level in severity.LEVELS]
    one, two, three, four, five = (float(f"{strength:.4g}") for strength in found)
    return one, two, three, four, five


def _searched(psnr: Callable[[float], float], wanted: float) -> float:
    """The strength of a PSNR, by bisection: more strength, fewer decibels."""
    low, high = _WEAKEST, _STRONGEST
    for _ in range(_HALVINGS):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if psnr(middle) > wanted else (low, middle)
    return float((low * high) ** 0.5)


def main() -> None:
    """All recipes and stages; the table is a file of the package."""
    strengths: dict[str, dict[str, severity_table.Levels]] = {}
    for name, preset in degrade.RECIPES.items():
        strengths[name] = {}
        for stage in severity.stages(preset.model):
            strengths[name][stage] = calibrated(name, stage)
            print(name, stage, strengths[name][stage], flush=True)
    lines = [
        FILE.read_text(encoding="utf-8").partition("STRENGTHS")[0] + "STRENGTHS: Mapping[str, Mapping[str, Levels]] = {"
    ]
    for recipe, row in strengths.items():
        lines += [f'    "{recipe}": {{', *(f'        "{stage}": {value},' for stage, value in row.items()), "    },"]
    FILE.write_text("\n".join([*lines, "}", '"""By recipe and stage."""', ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
