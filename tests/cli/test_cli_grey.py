"""The commands on grey images: 16-bit PNG and TIFF, DICOM with a window, for the recipes that are made for them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli.degrade import main
from degrade.images import image_io


def run(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("recipe", ["x-bdcnn", "cornea"])
@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_in_and_out_and_replayed(tmp_path: Path, recipe: str, suffix: str) -> None:
    ramp = torch.linspace(0, 65535, 64 * 80).to(torch.int32).view(1, 64, 80).to(torch.uint16)
    image_io.write(tmp_path / "in" / f"ramp.{suffix}", ramp)
    run("synth", tmp_path / "in", tmp_path / "out", "--recipe", recipe, "--views", 2)
    clean = image_io.read(tmp_path / "out/clean/ramp.png")
    noisy = image_io.read(tmp_path / "out/degraded/ramp_v1.png")
    assert torch.equal(clean.int(), ramp.int())
    assert noisy.dtype == torch.uint16
    assert len(torch.unique(noisy.int() % 257)) > 100  # sixteen bits, not eight stretched
    assert image_io.read(tmp_path / "out/mask/ramp.png").min() == 255  # the whole frame is exposed
    again = tmp_path / "again.png"
    run("replay", f"{tmp_path}/out/manifest.jsonl:ramp:1", tmp_path / "out/clean/ramp.png", again)
    assert again.read_bytes() == (tmp_path / "out/degraded/ramp_v1.png").read_bytes()


def test_bits_can_be_asked_for(tmp_path: Path) -> None:
    ramp = torch.linspace(0, 65535, 64 * 80).to(torch.int32).view(1, 64, 80).to(torch.uint16)
    image_io.write(tmp_path / "in/ramp.png", ramp)
    image_io.write(tmp_path / "in/flat.png", torch.full((1, 64, 64), 100, dtype=torch.uint8))
    for bits, dtype in (("8", torch.uint8), ("16", torch.uint16)):
        out = tmp_path / bits
        run("synth", tmp_path / "in", out, "--recipe", "x-bdcnn", "--bits", bits)
        for name in ("ramp", "flat"):
            assert image_io.read(out / f"clean/{name}.png").dtype == dtype
            assert image_io.read(out / f"degraded/{name}_v0.png").dtype == dtype
        run("synth", tmp_path / "in", out, "--recipe", "x-bdcnn", "--bits", bits, "--resume")
    other = CliRunner().invoke(
        main, ["synth", str(tmp_path / "in"), str(tmp_path / "8"), "--recipe", "x-bdcnn", "--resume"]
    )
    assert other.exit_code == 2
    assert "bits = 8" in other.output


def test_settings_reach_the_manifest(tmp_path: Path) -> None:
    image_io.write(tmp_path / "in/a.png", torch.full((1, 64, 64), 100, dtype=torch.uint8))
    run("synth", tmp_path / "in", tmp_path / "out", "--recipe", "x-bdcnn", "--set", "eta=0.4", "--set", "sigma=5")
    line = json.loads((tmp_path / "out/manifest.jsonl").read_text())
    assert (line["parameters"]["eta"], line["parameters"]["sigma"]) == (0.4, 5.0)
    noisy = image_io.read(tmp_path / "out/degraded/a_v0.png").double()
    assert float(noisy.var()) == pytest.approx(100 / 0.4 + 25, rel=0.15)


def test_preview_names_the_stages(tmp_path: Path) -> None:
    image_io.write(tmp_path / "in/a.png", torch.full((1, 64, 64), 100, dtype=torch.uint8))
    for recipe in ("x-bdcnn", "cornea"):
        run("preview", tmp_path / "in", tmp_path / "sheet.png", "--recipe", recipe, "--size", 64)
        assert image_io.read(tmp_path / "sheet.png").shape[0] in (1, 3)


def test_dicom_through_a_window(tmp_path: Path) -> None:
    pytest.importorskip("pydicom", reason="needs pydicom")
    from tests.degrade.test_dicom import RAMP, dicom

    ramp = np.kron(RAMP, np.ones((2, 2), np.uint16))
    (tmp_path / "in").mkdir()
    dicom(tmp_path / "in/scan.dcm", ramp, WindowCenter=1000, WindowWidth=500)
    run("synth", tmp_path / "in", tmp_path / "all", "--recipe", "x-bdcnn")
    run("synth", tmp_path / "in", tmp_path / "file", "--recipe", "x-bdcnn", "--window", "file")
    run("synth", tmp_path / "in", tmp_path / "own", "--recipe", "x-bdcnn", "--window", "1000,500")
    everything, windowed, own = (image_io.read(tmp_path / name / "clean/scan.png") for name in ("all", "file", "own"))
    assert everything.dtype == torch.uint16
    assert torch.equal(windowed.int(), own.int())
    assert (windowed.int() == 65535).float().mean() > 0.6
    wrong = CliRunner().invoke(main, ["synth", str(tmp_path / "in"), str(tmp_path / "x"), "--window", "bone"])
    assert wrong.exit_code == 2
    assert "--window" in wrong.output
