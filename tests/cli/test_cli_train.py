"""`enhance train`: what it writes, how it goes on, and how it refuses."""

from __future__ import annotations

import json
import tomllib

import pytest
import torch
from click.testing import CliRunner

import degrade
from cli.enhance import main
from degrade.images import image_io
from enhance.checkpoints import load_enhancer, read_weights
from tests.training_samples import lines, same, weights

CHEST = "phantom:chest?count=5&size=64"
SMALL = [
    *("--set", "width=4", "--set", "level_width=4", "--set", "crop=32", "--set", "batch_size=2"),
    *("--set", "patches=1", "--devices", "cpu", "--workers", "0"),
]


def enhance(*arguments, code=0):
    """Runs the command; the exit code must be the expected one, and a failure must be told without a traceback."""
    torch.set_num_threads(1)
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def train(*arguments, **expected):
    return enhance("train", *arguments, **expected)


def images(folder, names, size=64):
    """Phantoms as files, with vessel masks in the folder beside."""
    pictures, vessels, _ = degrade.phantom.fundus(degrade.make_keys(0, len(names)), size)
    for name, picture, mask in zip(names, pictures, vessels, strict=True):
        image_io.write(folder / "good" / f"{name}.png", image_io.to_integer(picture))
        image_io.write(folder / "vessels" / f"{name}.png", image_io.to_integer(mask))
    return folder / "good", folder / "vessels"


def test_a_run(tmp_path):
    said = train("xbdcnn", CHEST, *SMALL, "--out", tmp_path / "run", "--steps", 2, "--log-every", 1)
    assert "is trained for 2 steps" in said
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        *("weights.safetensors", "best.safetensors", "state_000002.pt", "log.jsonl"),
        *("weights_000000.safetensors", "state_000000.pt"),
        *("samples", "curves.png", "run.toml", "held_out.json", "trained_on.json"),
    }
    assert [line["step"] for line in lines(tmp_path / "run")] == [1, 2, 2]
    held = json.loads((tmp_path / "run/held_out.json").read_text())
    assert len(held["high"]) == 1
    assert held["low"] == []
    assert load_enhancer(tmp_path / "run").enhance(torch.rand(1, 1, 33, 40)).shape == (1, 1, 33, 40)


def test_its_configuration_makes_the_same_run(tmp_path):
    train("xbdcnn", CHEST, *SMALL, "--out", tmp_path / "a", "--steps", 2, "--set", "size=none")
    train("--config", tmp_path / "a/run.toml", "--out", tmp_path / "b")
    assert (tmp_path / "a/run.toml").read_text() == (tmp_path / "b/run.toml").read_text()
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    train("--config", tmp_path / "a/run.toml", "--out", tmp_path / "c", "--set", "seed=1")
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_resume_and_overwrite(tmp_path):
    run = tmp_path / "run"
    train("xbdcnn", CHEST, *SMALL, "--out", run, "--steps", 2)
    assert "--resume goes on, --overwrite deletes" in train("xbdcnn", CHEST, *SMALL, "--out", run, code=2)
    train("--resume", "--out", run, "--steps", 4)
    assert read_weights(run).step == 4
    assert "batch_size = 2: it cannot go on with 1" in train("--resume", "--out", run, "--set", "batch_size=1", code=1)
    train("xbdcnn", CHEST, *SMALL, "--out", run, "--steps", 1, "--overwrite")
    assert read_weights(run).step == 1


def test_epochs(tmp_path):
    train("xbdcnn", CHEST, *SMALL, "--out", tmp_path / "run", "--epochs", 2)
    assert read_weights(tmp_path / "run").step == 4  # four images are left, two batches
    table = tomllib.loads((tmp_path / "run/run.toml").read_text())
    assert table["epochs"] == 2
    assert "steps" not in table["config"]
    train("--resume", "--out", tmp_path / "run", "--epochs", 3)
    assert read_weights(tmp_path / "run").step == 6


def test_recipe_file(tmp_path):
    (tmp_path / "mine.toml").write_text(degrade.recipe("x-bdcnn", sigma=1.0).to_toml())
    said = train("xbdcnn", "--show", "--set", f"recipe={tmp_path / 'mine.toml'}")
    assert degrade.recipe(tomllib.loads(said)["config"]["recipe"]).settings["sigma"] == 1.0


def test_show_can_be_read_back(tmp_path):
    for name in ("pcenet", "zhao", "magenet", "xbdcnn", "sspnet"):
        (tmp_path / "shown.toml").write_text(train(name, "--show"))
        assert train("--config", tmp_path / "shown.toml", "--show") == (tmp_path / "shown.toml").read_text()


@pytest.mark.parametrize("others", [0, 2])
def test_vessels(tmp_path, others):
    good, vessels = images(tmp_path, [f"p{number}" for number in range(5)])
    for number in range(others):
        (vessels / f"p{number}.png").unlink()
    size = (
        "--set",
        "size=64",
        "--set",
        "crop=none",
        "--set",
        "width=4",
        "--set",
        "batch_size=1",
        "--set",
        "views=2",
        "--devices",
        "cpu",
    )
    out = tmp_path / "run"
    said = train("pcenet", good, "--vessels", vessels, *size, "--workers", 0, "--out", out, "--steps", 1)
    assert ("3 of 5 images have a vessel mask" in said) == bool(others)


def test_held_out_patients(tmp_path):
    good, _ = images(tmp_path, ["a_left", "a_right", "b_left", "b_right", "c_left", "c_right"])
    train("xbdcnn", good, *SMALL, "--set", "channels=3", "--out", tmp_path / "run", "--steps", 1, "--hold-out", 0.34)
    held = json.loads((tmp_path / "run/held_out.json").read_text())["high"]
    assert len(held) == 2
    assert held[0][0] == held[1][0]


def test_without_validation(tmp_path):
    train("xbdcnn", CHEST, *SMALL, "--out", tmp_path / "run", "--steps", 1, "--hold-out", 0)
    assert not [line for line in lines(tmp_path / "run") if "validation" in line]
    assert not (tmp_path / "run/best.safetensors").exists()


REFUSED = {
    "network": (["xbdnn", CHEST], "Invalid value for 'NETWORK': unknown trainer 'xbdnn'; did you mean xbdcnn?"),
    "no network": ([], "Invalid value for 'NETWORK': missing: one of pcenet,"),
    "no source": (["xbdcnn"], "Invalid value for 'SOURCE': missing"),
    "source": (["xbdcnn", "nowhere"], "Invalid value for 'SOURCE': 'nowhere' does not exist"),
    "field": (
        ["xbdcnn", CHEST, "--set", "crp=3"],
        "Invalid value for '--set': unknown field 'crp'; did you mean crop?",
    ),
    "value": (["xbdcnn", CHEST, "--set", "crop=x"], "crop = 'x': allowed is a whole number or none"),
    "no value": (["xbdcnn", CHEST, "--set", "crop"], "'crop' is not NAME=VALUE"),
    "unpaired": (["xbdcnn", CHEST, "--unpaired", CHEST], "'--unpaired': xbdcnn trains on good images alone"),
    "not unpaired": (["zhao", CHEST], "'--unpaired': zhao needs real bad images too"),
    "hold-out": (["xbdcnn", "phantom:chest?count=1&size=64"], "'--hold-out': share = 0.2: 1 images in 1 groups"),
    "group": (["xbdcnn", CHEST, "--group", "("], "group = '(': not a regular expression"),
    "both": (["xbdcnn", CHEST, "--steps", 3, "--epochs", 3], "--steps and --epochs say the same thing"),
    "precision": (["xbdcnn", CHEST, "--precision", "8"], "'--precision': precision = '8': allowed is 32-true or bf16"),
    "config": (["--config", "none.toml"], "Invalid value for '--config': cannot read 'none.toml'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(tmp_path, name):
    arguments, message = REFUSED[name]
    said = train(*arguments, "--out", tmp_path / "run", code=2)
    assert message in said
    assert not (tmp_path / "run").exists()


LATE = {
    "devices": (["--devices", "tpu"], "devices = 'tpu': allowed is auto, a number of GPUs, cpu, or cpu:N"),
    "channels": (["--set", "channels=3"], "has grey images; channels = 3: set channels=1"),
    "crop": (["--set", "size=64", "--set", "crop=96"], "crop = 96 pixels of images resized to size = 64: at most 64"),
    "batch": (["--set", "batch_size=64"], "batch_size = 64: more than the 4 samples of an epoch"),
}


@pytest.mark.parametrize("name", LATE)
def test_refused_by_the_loop(tmp_path, name):
    arguments, message = LATE[name]
    assert message in train("xbdcnn", CHEST, *SMALL, *arguments, "--out", tmp_path / "run", code=1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("netwrk = 'xbdcnn'", "unknown name 'netwrk'; did you mean network?"),
        ("workers = 'two'", "line 1: $.workers: expected `int`, got `str`"),
        ("[", "no TOML"),
        ("config = 3", "config is a table"),
    ],
)
def test_a_broken_configuration(tmp_path, text, message):
    (tmp_path / "run.toml").write_text(text)
    assert message in train("--config", tmp_path / "run.toml", "--out", tmp_path / "run", code=2)


def test_help():
    said = train("--help")
    for word in ("NETWORK is one of pcenet", "RUN becomes", "held_out.json", "Examples:"):
        assert word in said
