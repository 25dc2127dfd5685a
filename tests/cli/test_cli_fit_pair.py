"""`degrade fit pair`: a table, a picture, a residual and parameters, or what is wrong with the pair."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import degrade
from degrade.images import image_io
from degrade.records import from_record
from tests.cli_runs import run


@pytest.fixture(scope="module")
def pair(tmp_path_factory) -> tuple[Path, Path, Path]:
    """A phantom, the same under a cataract, and its field of view."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 1), 96)
    degraded = degrade.recipe("cataract")(image, degrade.make_keys(3, 1), mask)
    root = tmp_path_factory.mktemp("pair")
    for name, one in (("clean", image), ("poor", degraded), ("mask", mask)):
        image_io.write(root / f"{name}.png", image_io.to_integer(one[0]))
    return root / "clean.png", root / "poor.png", root / "mask.png"


def test_everything_is_written(tmp_path, pair):
    clean, poor, mask = pair
    out, report, residual = (tmp_path / name for name in ("pair.json", "report.png", "residual.png"))
    files = ("--out", out, "--report", report, "--residual", residual)
    output = run("fit", "pair", clean, poor, "--recipe", "cataract", "--mask", mask, *files).output
    for words in ("veil", "explained: 9", "standard error", str(out), str(report), str(residual)):
        assert words in output
    record = json.loads(out.read_text())
    recipe = degrade.recipe(record["recipe"])
    parameters = from_record(recipe.parameter_table, record["parameters"])
    first, field = (image_io.to_float(image_io.read(path))[None] for path in (clean, mask))
    left = image_io.to_float(image_io.read(poor)) - recipe.apply(first, parameters, field)[0]
    root = float((left.square().mean() * left.numel() / (3 * field.sum())).sqrt())
    assert 255 * root == pytest.approx(record["residual"], abs=0.02)
    assert image_io.read(report).shape == (3, 1000, 1800)
    assert image_io.read(residual).shape == (3, 96, 96)
    assert image_io.to_float(image_io.read(residual)).mean() == pytest.approx(0.5, abs=0.01)


def test_what_is_wrong_is_said(tmp_path, pair):
    clean, poor, _ = pair
    small = tmp_path / "small.png"
    image_io.write(small, torch.zeros(3, 40, 40, dtype=torch.uint8))
    assert "hardly differ" in run("fit", "pair", clean, clean, code=1).output
    assert "at least 64 x 64" in run("fit", "pair", small, small, code=1).output
    for arguments, words in (
        ((clean, tmp_path / "none.png"), "DEGRADED"),
        ((clean, poor, "--out", "x.toml"), "allowed is .json"),
        ((clean, poor, "--report", "x.txt"), "allowed is png"),
        ((clean, poor, "--recipe", "cofenet"), "did you mean cofe-net"),
        ((clean, poor, "--size", 32), "--size"),
    ):
        assert words in run("fit", "pair", *arguments, code=2).output
