"""`degrade fit noise`: numbers, a recipe and a picture, or the reasons why not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import degrade
from degrade.fit.noise import from_images
from degrade.images import image_io
from tests.cli_runs import photograph, run
from tests.degrade.test_fit_noise import noisy, scene, stretched


@pytest.fixture
def frames(tmp_path: Path) -> list[Path]:
    """Two 8-bit frames of one scene."""
    paths = [tmp_path / f"frames/{seed}.png" for seed in (0, 1)]
    for seed, path in enumerate(paths):
        image_io.write(path, noisy(scene(), 0.8, 8, seed))
    return paths


def test_blind(tmp_path, frames):
    out, plot = tmp_path / "new/detector.toml", tmp_path / "new/plot.png"
    output = run("fit", "noise", frames[0], "--out", out, "--plot", plot).output
    expected = from_images([image_io.read(frames[0])])
    assert f"eta    {expected.eta:.4g}" in output
    assert f"sigma  {expected.sigma:.4g}" in output
    assert f"{255 * expected.eta:.4g}  (95 %" in output
    assert f"degrade synth SOURCE DEST --recipe {out}" in output
    assert image_io.read(plot).shape == (3, 800, 1200)
    if "x-bdcnn" in degrade.RECIPES:
        assert degrade.recipe(out).settings["eta"] == pytest.approx(expected.eta, rel=1e-3)
        run("synth", frames[1], tmp_path / "pairs", "--recipe", out)
        assert image_io.read(tmp_path / "pairs/degraded/1_v0.png").shape == (1, 512, 512)


def test_frames_of_one_scene(frames):
    output = run("fit", "noise", *frames, "--frames").output
    assert "pixels in" in output
    eta = float(output.split()[1])
    assert eta == pytest.approx(0.8, rel=0.02)
    assert run("fit", "noise", frames[0].parent, "--frames").output == output


def test_levels_and_limit(frames):
    assert "of 4095" in run("fit", "noise", *frames, "--levels", 4095).output
    one = run("fit", "noise", frames[0]).output
    assert run("fit", "noise", frames[0].parent, "--limit", 1).output == one


def test_no_number_is_exit_code_1_and_no_recipe(tmp_path, frames):
    image_io.write(tmp_path / "stretched.png", stretched(image_io.read(frames[0]), 1.2))
    out, plot = tmp_path / "detector.toml", tmp_path / "plot.png"
    output = run("fit", "noise", tmp_path / "stretched.png", "--out", out, "--plot", plot, code=1).output
    assert "no number: the histogram is a comb" in output
    assert "eta " not in output
    assert not out.exists()
    assert plot.exists()


def test_what_cannot_be_read_is_told(tmp_path, frames):
    (frames[0].parent / "2.png").write_text("no image")
    photograph(frames[0].parent / "3.png")
    output = run("fit", "noise", frames[0].parent).output
    assert "2.png: " in output
    assert "3.png: it is no grey image" in output
    assert "2.png" in run("fit", "noise", frames[0].parent, "--frames", code=1).output
    assert "no grey image could" in run("fit", "noise", frames[0].parent / "2.png", code=1).output


def test_mistakes(tmp_path, frames):
    assert "--out" in run("fit", "noise", frames[0], "--out", tmp_path / "a.txt", code=2).output
    assert "--plot" in run("fit", "noise", frames[0], "--plot", tmp_path / "a.pdf", code=2).output
    assert "two or more" in run("fit", "noise", frames[0], "--frames", code=2).output
    assert "SOURCE" in run("fit", "noise", tmp_path / "none", code=2).output
    assert "--levels" in run("fit", "noise", frames[0], "--levels", 0, code=2).output
    image_io.write(tmp_path / "small.png", image_io.read(frames[0])[:, :100])
    assert "512 x 100" in run("fit", "noise", frames[0], tmp_path / "small.png", "--frames", code=1).output
    for name in "ab":
        image_io.write(tmp_path / f"{name}.png", torch.zeros(1, 2, 9, dtype=torch.uint8))
    assert "too small" in run("fit", "noise", tmp_path / "a.png", tmp_path / "b.png", "--frames", code=1).output


def test_a_plot_without_matplotlib_is_refused_before_any_work(tmp_path, frames, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    output = run("fit", "noise", frames[0], "--plot", tmp_path / "plot.png", code=1).output
    assert output == 'Error: plots need Matplotlib: pip install "degrade-enhance[plots]"\n'
