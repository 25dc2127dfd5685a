"""Five levels of every recipe and stage: the frozen strengths still make steps of 2 dB, and wrong ones are noticed."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

import degrade
from benchmarks.severity import at, mean_psnr
from degrade import severity
from degrade.severity_table import STRENGTHS

EVERY = [(name, stage) for name, preset in degrade.RECIPES.items() for stage in severity.stages(preset.model)]


def psnrs(name: str, stage: str) -> list[float]:
    return [mean_psnr(degrade.recipe(name, severity=level, stage=stage)) for level in severity.LEVELS]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "stage"), EVERY)
def test_levels_are_two_decibels_apart(name: str, stage: str) -> None:
    found = psnrs(name, stage)
    wanted = [found[2] + (3 - level) * severity.STEP for level in severity.LEVELS]
    off = [abs(psnr - place) for psnr, place in zip(found, wanted, strict=True)]
    # spots have a largest radius, and kernels that get their next pair of taps all at once
    assert max(off) <= (0.6 if stage == "spots" else 0.2), found
    assert all(one > other + 1 for one, other in pairwise(found)), found


def test_other_strengths_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STRENGTHS["x-bdcnn"], "noise", (0.5, 0.75, 1.0, 1.25, 1.5))  # type: ignore[arg-type]
    with pytest.raises(AssertionError):
        test_levels_are_two_decibels_apart("x-bdcnn", "noise")


@pytest.mark.parametrize("name", degrade.RECIPES)
def test_level_three_is_the_recipe(name: str) -> None:
    recipe, third = degrade.recipe(name), degrade.recipe(name, severity=3)
    assert {k: v for k, v in third.settings.items() if v != recipe.settings[k]} == {}


@pytest.mark.parametrize(("name", "stage"), [(n, s) for n, s in EVERY if s != "all" and n not in ("x-bdcnn-released",)])
def test_a_stage_of_no_strength_does_nothing(name: str, stage: str) -> None:
    assert mean_psnr(at(name, 1e-3, stage)) > 45 if stage != "noise" else mean_psnr(at(name, 1 / 64, stage)) > 38


def test_a_stage_acts_alone() -> None:
    assert degrade.recipe("cofe-net", severity=2, stage="blur").settings["type"] == "100"
    cornea = degrade.recipe("cornea", severity=4, stage="blur").settings
    assert (cornea["gain_low"], cornea["haze"], cornea["sigma"]) == (1.0, 0.0, 0.0)
    image = torch.rand(2, 3, 64, 64)
    keys = degrade.make_keys(0, 2)
    weak, strong = (degrade.recipe("cofe-net", severity=level, type="111")(image, keys) for level in (1, 5))
    assert (weak - image).square().mean() < (strong - image).square().mean()


def test_settings_of_ones_own_win() -> None:
    assert degrade.recipe("cofe-net", severity=5, brightness=0.9).settings["brightness"] == 0.9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"severity": 0}, "severity = 0: allowed is a whole number from 1 to 5"),
        ({"severity": True}, "severity = True"),
        ({"severity": 2, "stage": "bluur"}, "did you mean blur"),
        ({"stage": "blur"}, "goes with severity"),
    ],
)
def test_mistakes_are_named(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        degrade.recipe("cofe-net", **options)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="severity"):
        degrade.recipe(degrade.recipe("cofe-net"), severity=2)
