"""Fidelity to the Cofe-Net release: its stored stages and outputs, where the golden data is at hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import degrade
from degrade.models.fundus.release import from_cofe_net
from tests.conftest import Apply

RUNS = ("13_left_s1", "13_left_s2", "15_right_s3", "17_right_s4")
STAGES = ("halo", "hole", "spots", "blur")
ONLY = {
    "halo": {"type": "001", "keep": "halo_"},
    "hole": {"type": "001", "keep": "hole_"},
    "spots": {"type": "010", "keep": "spot_"},
    "blur": {"type": "100", "keep": "blur_"},
}


def load(path: Path, mode: str) -> Tensor:
    array = np.asarray(Image.open(path).convert(mode), dtype=np.float64) / 255
    return torch.from_numpy(array.reshape(*array.shape[:2], -1).transpose(2, 0, 1).copy())[None]


def neutral_but(parameters: degrade.Parameters, stage: str) -> degrade.Parameters:
    """The parameters with every stage but one switched off."""
    p = dict(parameters, type=torch.tensor([int(ONLY[stage]["type"], 2)]))
    if p["type"] == 1:
        for name in ("brightness", "contrast", "saturation"):
            p[name] = torch.ones(1)
        if stage == "halo":
            p["hole_depth"] = torch.zeros(1)
        else:
            p["halo_strength"] = torch.zeros(1)
    return p


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("run", RUNS)
def test_stage_equals_the_release(golden: Path, apply: Apply, run: str, stage: str, exact: bool) -> None:
    folder = golden / "cofe_net_release"
    parameters = from_cofe_net(json.loads((folder / f"{run}.json").read_text()))
    stored = {
        name: torch.from_numpy(value.astype(np.float32) / 65535)[None]
        for name, value in np.load(folder / f"{run}_stages.npz").items()
    }
    before = stored[{"halo": "color", "hole": "halo", "spots": "hole", "blur": "spots"}[stage]]
    mask = load(folder / f"{run.rsplit('_', 1)[0]}_mask.png", "L").float()
    d = degrade.recipe("cofe-net", exact=exact, frame="image")
    # the stages are stored before the mask blackens the surround, and the hole's mean needs the mask
    got = apply(d, before, neutral_but(parameters, stage), mask)
    error = (got - stored[stage] * mask).abs().max().item() * 255
    assert error <= (0.05 if exact else 0.5)


@pytest.mark.parametrize("run", RUNS)
def test_whole_chain_equals_the_release(golden: Path, apply: Apply, run: str) -> None:
    folder = golden / "cofe_net_release"
    parameters = from_cofe_net(json.loads((folder / f"{run}.json").read_text()))
    name = run.rsplit("_", 1)[0]
    clean, mask = load(folder / f"{name}_clean.png", "RGB").float(), load(folder / f"{name}_mask.png", "L").float()
    got = apply(degrade.recipe("cofe-net", emulate_8bit=True, frame="image"), clean, parameters, mask)
    error = (got * 255).round() - load(folder / f"{run}_final.png", "RGB") * 255
    assert error.abs().max() <= 2
    assert error.abs().mean() <= 0.1


@pytest.mark.parametrize("run", RUNS)
def test_the_frame_of_the_field_of_view_is_near_that_of_the_cropped_image(golden: Path, run: str) -> None:
    """The release's images are cropped to their disc: all but a few pixels of each side."""
    folder = golden / "cofe_net_release"
    parameters = from_cofe_net(json.loads((folder / f"{run}.json").read_text()))
    name = run.rsplit("_", 1)[0]
    clean, mask = load(folder / f"{name}_clean.png", "RGB").float(), load(folder / f"{name}_mask.png", "L").float()
    fov, image = (degrade.recipe("cofe-net", frame=frame).apply(clean, parameters, mask) for frame in ("fov", "image"))
    assert (fov - image).abs()[mask.expand_as(fov) > 0.5].mean() * 255 <= 2


def test_published_parameter_files_replay(golden: Path) -> None:
    files = sorted((golden / "cofe_net_published").glob("*.json"))
    assert len(files) == 9
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 1), 512)
    d = degrade.recipe("cofe-net-paper", emulate_8bit=True, frame="image")
    for file in files:
        degraded = d.apply(image, from_cofe_net(json.loads(file.read_text())), mask)
        assert (degraded - image).abs().max() > 0.1
