"""A run of version 0.2 is resumed: its run.toml, weights, average, optimizer and stream are still understood."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import torch
from safetensors.torch import load_file

from enhance.checkpoints import load_enhancer, read_weights
from tests.cli.test_cli_train import train

BEFORE = Path(__file__).parents[1] / "fixtures/version-0.2/run"
"""Written by `enhance train xbdcnn "phantom:chest?count=4&size=32" --set width=1 --set level_width=1 --set crop=32
--set batch_size=1 --set patches=1 --devices cpu --workers 0 --ema 0.9 --steps 2` of version 0.2."""


def test_it_goes_on_and_keeps_its_average(tmp_path):
    run = tmp_path / "run"
    shutil.copytree(BEFORE, run)
    before = load_file(run / "weights.safetensors")
    train("--resume", "--out", run, "--steps", 3)
    after, state = load_file(run / "weights.safetensors"), torch.load(run / "state_000003.pt", weights_only=True)
    assert after.keys() == before.keys()
    assert read_weights(run).step == state["step"] == 3
    assert {int(entry["step"]) for entry in state["optimisers"]["enhancer"]["state"].values()} == {3}
    decay = min(0.9, 3 / 13)
    for name, mean in before.items():
        if name.startswith("ema:"):
            weight = after[f"enhancer.{name.removeprefix('ema:')}"]
            torch.testing.assert_close(after[name], decay * mean + (1 - decay) * weight, rtol=0, atol=1e-6)
    text = (BEFORE / "run.toml").read_text()
    then, now = (tomllib.loads(one) for one in (text.replace("steps = 2", "steps = 3"), (run / "run.toml").read_text()))
    assert {name: now["config"][name] for name in then["config"]} == then["config"]
    assert {**now, "config": None} == {**then, "config": None}
    assert now["config"]["mse_grey"] == 1.0  # as it was then


def test_its_network_is_its_average():
    found, network = read_weights(BEFORE), load_enhancer(BEFORE)
    assert found.average
    for name, value in network.state_dict().items():
        assert torch.equal(value, found.average[name])
