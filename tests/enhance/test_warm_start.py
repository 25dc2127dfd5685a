"""`--init`: a run that begins from the weights of another one, or of another program."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from enhance.checkpoints import CheckpointError, load_enhancer, write_weights
from enhance.trainers import trainer
from enhance.warm_start import warm_start
from tests.cli.test_cli_train import CHEST, SMALL, train
from tests.training_samples import same

TINY = {"width": 4, "level_width": 4, "crop": 32, "batch_size": 2}
MAGE = {"width": 4, "level_step": 4, "stage2_step": 4, "num_cab": 1, "rsp_width": 4}


def state(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def test_a_run_begins_from_another_and_goes_on_as_its_own(tmp_path):
    train("xbdcnn", CHEST, *SMALL, "--out", tmp_path / "synthetic", "--steps", 2, "--ema", 0.9)
    rate = ["--set", "first_rate=0", "--set", "last_rate=0"]
    train("xbdcnn", CHEST, *SMALL, *rate, "--init", tmp_path / "synthetic", "--out", tmp_path / "real", "--steps", 1)
    first, second = (state(load_enhancer(tmp_path / name)) for name in ("synthetic", "real"))
    assert same(first, second)  # the running average, and a learning rate of 0 moves nothing
    fresh = state(trainer("xbdcnn", **TINY).enhancer)
    assert not same(fresh, second)
    train("--resume", "--out", tmp_path / "real", "--steps", 2)  # goes on from its own checkpoint
    assert same(state(load_enhancer(tmp_path / "real")), second)


def test_real_pairs_after_synthetic_ones(tmp_path):
    """Other data, another recipe, another length: the networks alone must fit."""
    train("xbdcnn", CHEST, *SMALL, "--set", "nle=false", "--out", tmp_path / "a", "--steps", 1)
    pairs = "pairs:phantom:chest?count=5&size=64&seed=1,phantom:chest?count=5&size=64"
    train(
        "xbdcnn", pairs, *SMALL, "--set", "nle=false", "--init", tmp_path / "a", "--out", tmp_path / "b", "--steps", 1
    )


def test_a_file_of_another_program(tmp_path):
    made, other = trainer("xbdcnn", **TINY), trainer("xbdcnn", **TINY, seed=5)
    save_file(state(other.enhancer), tmp_path / "theirs.safetensors")
    warm_start(made, tmp_path / "theirs.safetensors")
    assert same(state(made.enhancer), state(other.enhancer))


def test_t_mage_begins_from_mage(tmp_path):
    """The run without a teacher: its student becomes student and teacher."""
    mage = trainer("magenet", **MAGE, teacher=False, seed=3)
    write_weights(tmp_path / "weights.safetensors", mage, 0, None)
    made = trainer("magenet", **MAGE)
    warm_start(made, tmp_path)
    for network in made.networks.values():
        assert same(state(network), state(mage.enhancer))


REFUSED = {
    "nothing": ("none", "does not exist"),
    "another trainer": ("pce", "is a run of 'pcenet', not of 'xbdcnn'"),
    "another width": ("wide", "holds the weights of another network"),
    "another file": ("x.safetensors", "holds the weights of another network: it lacks nle.layers.0.weight"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    for folder, made in (("pce", trainer("pcenet", width=4)), ("wide", trainer("xbdcnn", **TINY | {"width": 8}))):
        (tmp_path / folder).mkdir()
        write_weights(tmp_path / folder / "weights.safetensors", made, 0, None)
    save_file({"a": torch.zeros(1)}, tmp_path / "x.safetensors")
    path, message = REFUSED[name]
    with pytest.raises(CheckpointError, match=message):
        warm_start(trainer("xbdcnn", **TINY), tmp_path / path)
    said = train("xbdcnn", CHEST, *SMALL, "--init", tmp_path / path, "--out", tmp_path / "run", code=2)
    assert "Invalid value for '--init': " in said
    assert not (tmp_path / "run").exists()
