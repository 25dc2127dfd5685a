"""`degrade check`: right functions pass, wrong ones fail by name, strangers' functions fail in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from cli.degrade import main

FUNCTIONS = """
import torch

def right(image):
    g = image * 255 * 0.5
    return (torch.poisson(g) / 0.5 + 5 * torch.randn_like(image)) / 255

def normal(image):
    g = image * 255 * 0.5
    return ((g + g.sqrt() * torch.randn_like(g)) / 0.5 + 5 * torch.randn_like(image)) / 255

def shared(image):
    g = image * 255 * 0.5
    return (torch.poisson(g) / 0.5 + 5 * torch.randn_like(image[:1])) / 255

def broken(image):
    raise ValueError("three\\nlines")

number = 3
"""


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["check", "--samples", "20000", *arguments])


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"functions_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    return name


def test_our_recipe_passes_and_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "check.png"
    result = run("x-bdcnn", "--eta", "0.4", "--sigma", "5", "--plot", str(picture))
    assert result.exit_code == 0, result.output
    assert "0 of 45 checks failed" in result.output
    assert picture.stat().st_size > 10_000


@pytest.mark.parametrize("recipe", ["cofe-net", "cornea"])
@pytest.mark.slow
def test_other_recipes_are_checked_for_keys_range_and_draws(recipe: str) -> None:
    result = run(recipe)
    assert result.exit_code == 0, result.output
    assert "0 of " in result.output
    for name in ("the same keys give the same picture", "range, 3 channels", "adjacent keys", "allowed"):
        assert name in result.output


def test_torch_has_the_right_distribution_and_no_keys(module: str) -> None:
    result = run(f"{module}:right", "--eta", "0.5", "--sigma", "5")
    failed = [line for line in result.output.splitlines() if line.startswith("FAILED")]
    assert result.exit_code == 1
    assert len(failed) == 4
    assert all("key" in line or "generator" in line or "sample alone" in line or "order" in line for line in failed)


def test_planted_defects_are_named(module: str) -> None:
    torch.manual_seed(0)  # the planted functions draw from the global generator
    assert "FAILED  skewness" in run(f"{module}:normal").output
    assert "FAILED  samples" in run(f"{module}:shared").output
    assert "FAILED  variance" in run(f"{module}:right", "--eta", "0.55").output


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("MODULE:broken", "ValueError: three"),
        ("MODULE:number", "not a function"),
        ("MODULE:missing", "has no attribute"),
        ("nowhere:f", "cannot import"),
        ("x-bdcn", "did you mean x-bdcnn"),
    ],
)
def test_mistakes_are_one_line(module: str, what: str, message: str) -> None:
    result = run(what.replace("MODULE", module))
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert "Traceback" not in result.output
