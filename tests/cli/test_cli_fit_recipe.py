"""`degrade fit fundus` and `degrade fit cornea`: a recipe, a table and a report, or what is missing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import degrade
from degrade.images import image_io
from tests.cli_runs import run


def folder(path: Path, images: torch.Tensor) -> Path:
    for number, image in enumerate(images):
        image_io.write(path / f"{number:02}.png", image_io.to_integer(image))
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> tuple[Path, Path]:
    """Good phantoms, and others at half the brightness."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 26), 80)
    root = tmp_path_factory.mktemp("sets")
    return folder(root / "good", image[:13]), folder(root / "poor", 0.5 * image[13:] * mask[13:])


QUICK = ("--size", 64, "--sets", 40, "--rounds", 1, "--search", 0, "--vary", "brightness")


@pytest.mark.slow
def test_a_recipe_and_a_report(tmp_path, sets):
    out, report = tmp_path / "fitted.toml", tmp_path / "report.png"
    output = run("fit", "fundus", *sets, *QUICK, "--recipe", "cofe-net", "--out", out, "--report", report).output
    for words in ("brightness.low", "AUC", "kept out of the fit", "13 GOOD images are few", str(report), str(out)):
        assert words in output
    fitted = degrade.recipe(out)
    assert fitted.settings["brightness"][0] <= 0.7
    assert fitted.settings["type"] == "independent"
    assert image_io.read(report).shape == (3, 1800, 1600)


@pytest.mark.slow
def test_cornea(tmp_path):
    image, _ = degrade.phantom.cornea(degrade.make_keys(0, 26), 64)
    good, poor = folder(tmp_path / "good", image[:13]), folder(tmp_path / "poor", 0.6 * image[13:])
    arguments = ("--size", 64, "--sets", 40, "--rounds", 1, "--search", 0, "--vary", "gain_high")
    assert "gain_high.low" in run("fit", "cornea", good, poor, *arguments).output


@pytest.mark.slow
def test_what_cannot_be_fitted_is_said(tmp_path, sets):
    good, poor = sets
    black = folder(tmp_path / "black", torch.zeros(14, 3, 64, 64))
    few = folder(tmp_path / "few", torch.rand(3, 3, 64, 64))
    assert "all black" in run("fit", "fundus", good, black, code=1).output
    assert "at least 12 are needed" in run("fit", "fundus", good, few, code=1).output
    for arguments, words in (
        (("--recipe", "cornea"), "is for other images"),
        (("--vary", "brihtness"), "did you mean brightness"),
        (("--size", 100), "multiples of 32"),
        (("--out", "x.txt"), "allowed is .toml"),
        (("--report", "x.txt"), "allowed is png"),
    ):
        assert words in run("fit", "fundus", good, poor, *arguments, code=2).output
