"""`enhance benchmark`, `--severity` and `--by severity`, as a user types them."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

import degrade
from cli.degrade import main as degrade_main
from cli.enhance import main
from degrade.images import image_io

CHEST = "phantom:chest?count=2&size=64"
EYES = "phantom:fundus?count=2&size=64"


def run(command, *arguments, code=0):
    done = CliRunner().invoke(command, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done.output


@pytest.mark.slow
def test_a_blur_against_nothing(tmp_path):
    words = ["benchmark", "gaussian", CHEST, "--recipe", "x-bdcnn"]
    said = run(main, *words, "--json", tmp_path / "b.json", "--plot", tmp_path / "b.png")
    found = json.loads((tmp_path / "b.json").read_text())
    row = found["stages"]["noise"]
    assert [one["severity"] for one in row] == [1, 2, 3, 4, 5]
    assert all(one["method"] > one["reference"] for one in row)
    assert [one["reference"] for one in row] == sorted((one["reference"] for one in row), reverse=True)
    gain = sum(one["method"] - one["reference"] for one in row) / 5
    assert found["gain"] == pytest.approx(gain)
    assert f"mean difference {gain:+.3f}" in said
    assert image_io.read(tmp_path / "b.png").shape[0] == 3


def test_a_function_of_another_package(tmp_path, monkeypatch):
    code = "def half(image): return image / 2\ndef wrong(image): return image[:, :, 1:]\n"
    (tmp_path / "mine_for_benchmark.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    said = run(main, "benchmark", "mine_for_benchmark:half", CHEST, "--recipe", "x-bdcnn", "--metric", "SSIM")
    assert "(-" in said
    wrong = run(main, "benchmark", "mine_for_benchmark:wrong", CHEST, "--recipe", "x-bdcnn", code=1)
    assert "returned (1, 1, 63, 64) for images (1, 1, 64, 64)" in wrong
    assert "cannot import" in run(main, "benchmark", "mine_for_benchmark:no", CHEST, code=2)


def test_mistakes():
    assert "is METHOD: give another" in run(main, "benchmark", "identity", CHEST, code=2)
    assert "--recipe" in run(main, "benchmark", "clahe", CHEST, "--recipe", "none", code=2)


def test_evaluate_by_severity(tmp_path):
    run(main, "evaluate", "gaussian", CHEST, "--recipe", "x-bdcnn", "--by", "severity", "--json", tmp_path / "e.json")
    found = json.loads((tmp_path / "e.json").read_text())
    psnrs = [found["by severity"][str(level)]["degraded"]["PSNR"]["mean"] for level in range(1, 6)]
    assert psnrs == sorted(psnrs, reverse=True)
    assert len(found["images"]) == 10
    assert "give both" in run(main, "evaluate", "gaussian", CHEST, "--by", "severity", code=2)
    words = ["evaluate", "gaussian", CHEST, "--recipe", "x-bdcnn", "--by", "severity", "--severity", 2]
    assert "give one of them" in run(main, *words, code=2)


def test_synth_of_one_stage(tmp_path):
    run(degrade_main, "synth", EYES, tmp_path / "pairs", "--severity", "4:blur")
    with open(tmp_path / "pairs/manifest.jsonl", encoding="utf-8") as file:
        assert {json.loads(line)["parameters"]["type"] for line in file} == {"100"}
    kept = degrade.recipe(tmp_path / "pairs/recipe.toml").settings
    assert kept == degrade.recipe("cofe-net", severity=4, stage="blur").settings
    said = run(degrade_main, "synth", EYES, tmp_path / "x", "--severity", "six", code=2)
    assert "severity = 'six': allowed is a whole number from 1 to 5" in said
