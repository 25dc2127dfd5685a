"""Presets of the trainers, and configurations that earlier versions wrote."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace

import pytest

from enhance.checkpoints import CheckpointError, load_enhancer, load_weights, read_weights, write_weights
from enhance.option_fields import options_of
from enhance.trainers import TRAINERS, trainer
from enhance.trainers.former import upgraded
from enhance.trainers.presets import NAMES, PRESETS, preset
from enhance.training import Options
from tests.cli.test_cli_train import train

TINY = {"width": 4, "level_width": 4, "crop": 32, "batch_size": 2}


@pytest.mark.parametrize("name", list(TRAINERS))
def test_every_preset_changes_what_there_is(name):
    kind = TRAINERS[name].config_class
    assert list(PRESETS[name]) == [one for one in NAMES if one in PRESETS[name]]
    assert {"paper", "small"} <= set(PRESETS[name])
    for one in PRESETS[name].values():
        assert set(one.config) <= {field.name for field in fields(kind)}
        assert set(one.options) <= {option.key for option in options_of(Options)}
    assert kind(**preset(name, "paper", kind).config) == kind()
    assert trainer(name, preset="small").config.steps < 10_000


def test_options_of_paper_are_the_defaults():
    for name in TRAINERS:
        chosen = preset(name, "paper", TRAINERS[name].config_class).options
        assert all(getattr(Options(), key) == value for key, value in chosen.items())


def test_the_released_xbdcnn():
    config = trainer("xbdcnn", preset="released", width=4, level_width=4).config
    assert (config.recipe, config.batch_size, config.loss_on, config.ssim_range) == (
        "x-bdcnn-released", 64, "residual", 255,
    )  # fmt: skip
    assert (config.mse_grey, config.level_grey, config.asymmetry, config.maps) == (1, 1, "hinge", "eta")
    assert trainer("xbdcnn", preset="released", width=4, level_width=4, batch_size=8).config.batch_size == 8
    with pytest.raises(ValueError, match="preset = 'released': allowed is paper or small of zhao; no code"):
        trainer("zhao", preset="released")


def shown(*words):
    return tomllib.loads(train("pcenet", "s", *words, "--show"))


def test_the_flag(tmp_path):
    small = shown("--preset", "small")
    assert (small["config"]["width"], small["config"]["crop"], small["ema"]) == (16, "none", 0.998)
    assert shown()["config"] == shown("--preset", "paper")["config"] != small["config"]
    changed = shown("--preset", "small", "--set", "width=8", "--ema", 0.5)
    assert (changed["config"]["width"], changed["ema"], changed["config"]["views"]) == (8, 0.5, 2)
    assert "steps" not in shown("--preset", "small", "--epochs", 3)["config"]
    (tmp_path / "run.toml").write_text(train("pcenet", "s", "--preset", "small", "--set", "width=8", "--show"))
    again = tomllib.loads(train("--config", tmp_path / "run.toml", "--show"))
    assert again["config"]["width"] == 8
    back = tomllib.loads(train("--config", tmp_path / "run.toml", "--preset", "paper", "--show"))
    assert back["config"]["width"] == 64
    (tmp_path / "short.toml").write_text('network = "pcenet"\npreset = "small"\n')
    assert tomllib.loads(train("--config", tmp_path / "short.toml", "--show"))["config"]["width"] == 16


def test_a_run_file_of_an_earlier_version_goes_on_as_it_began(tmp_path):
    """One with epochs, which lists no steps; a hand-written one is of today."""
    complete = 'batch_size = 2\nrecipe = "x-bdcnn"\nchannels = 1\nclip = 0.0\nseed = 0\n'
    for text, grey in ((complete, 1.0), ("batch_size = 2\n", 255.0)):
        (tmp_path / "run.toml").write_text(f'network = "xbdcnn"\nepochs = 3\n\n[config]\n{text}')
        found = tomllib.loads(train("--config", tmp_path / "run.toml", "--show"))
        assert found["config"]["mse_grey"] == grey
    (tmp_path / "run.toml").write_text('network = "sspnet"\n\n[config]\nhalve_every = 300\n')
    said = train("--config", tmp_path / "run.toml", "--show", code=2)
    assert "'--config': halve_every = 300: it counted steps" in said
    assert "halve_epochs" in said


def test_refused(tmp_path):
    assert "'--preset': preset = 'released': allowed is paper or small of zhao" in train(
        "zhao", "s", "--preset", "released", "--show", code=2
    )
    assert "Invalid value for '--preset'" in train("pcenet", "s", "--preset", "tiny", "--show", code=2)


def test_a_run_of_an_earlier_version_goes_on_as_it_began(tmp_path):
    """Its squared error counted on [0, 1]; today's default is another one."""
    made = trainer("xbdcnn", **TINY, mse_grey=1.0)
    write_weights(tmp_path / "weights.safetensors", made, 0, None)
    found = read_weights(tmp_path / "weights.safetensors")
    former = {name: value for name, value in found.config.items() if name not in ("mse_grey", "asymmetry", "loss_on")}
    assert upgraded("xbdcnn", former)["mse_grey"] == 1.0
    load_weights(made, replace(found, config=former), None, "weights")
    with pytest.raises(CheckpointError, match=r"was begun with mse_grey = 1.0: it cannot go on with 255.0"):
        load_weights(trainer("xbdcnn", **TINY), replace(found, config=former), None, "weights")
    assert load_enhancer(tmp_path / "weights.safetensors").nle is not None
