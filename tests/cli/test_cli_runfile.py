"""run.toml and the options of `enhance train`: what is damaged, hostile or absurd is refused in one line."""

from __future__ import annotations

import json

import pytest

import degrade
from cli.options import Refusal
from cli.runfile import NAMES, RunFile, read
from tests.cli.test_cli_train import CHEST, SMALL, train

TOLD = {
    "network": "xbdcnn",
    "source": 'a "name" with \\ and é, and a \x7f',
    "hold_out": 0.25,
    "group": r"^(\d+)\n?_",
    "epochs": 3,
    "workers": 0,
    "cache": 1.5,
    "keep": 4,
    "logger": "tensorboard",
}
CONFIG = {
    "crop": None,
    "size": (286, 346),
    "lr": 1e-05,
    "recipe": degrade.recipe("cofe-net-paper").to_toml() + 'a"""\\n',
}


def test_it_can_be_read_back(tmp_path):
    text = RunFile(TOLD, CONFIG).to_toml()
    (tmp_path / "run.toml").write_text(text)
    found = read(tmp_path / "run.toml", "--config")
    assert found.told == TOLD
    assert found.config == CONFIG | {"crop": "none", "size": [286, 346]}
    assert found.to_toml() == text


BROKEN = {
    "unknown": ("\nnetwrk = 'xbdcnn'", "line 2: unknown name 'netwrk'; did you mean network?"),
    "type": ("workers = 'two'", "line 1: $.workers: expected `int`, got `str`"),
    "bool": ("keep = true", "line 1: $.keep: expected `int`, got `bool`"),
    "bounds": ("hold_out = 1.5", "line 1: $.hold_out: expected `float` < 1.0"),
    "workers": ("workers = 100000", "line 1: $.workers: expected `int` <= 1024"),
    "nan": ("cache = nan", "nan is no finite number"),
    "infinite": ("ema = inf", "inf is no finite number"),
    "digits": (f"keep = 1{'0' * 400}", "beyond 64 bits"),
    "epochs": ("epochs = 9223372036854775807", "line 1: $.epochs: expected `int` <= 1000000000000"),
    "no toml": ("[", "no TOML"),
    "config": ("config = 3", "line 1: config is a table"),
    "nul": ("a = 1\n\0", "line 2: a NUL character"),
    "bytes": (b"a = 1\n\xff", "line 2: not UTF-8 text"),
    "depth": (f"a = {'[' * 1000}{']' * 1000}", "more than 32 levels"),
    "long": (f"source = '{'a' * 5000}'", "line 1: longer than 4,096 characters"),
    "a list": ("source = ['a']", "line 1: $.source: expected `str`, got `array`"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file(tmp_path, name):
    text, message = BROKEN[name]
    (tmp_path / "run.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    said = train("--config", tmp_path / "run.toml", "--out", tmp_path / "run", code=2)
    assert said.startswith(f"Error: Invalid value for '--config': {str(tmp_path / 'run.toml')!r}: ")
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["folder", "nothing"])
def test_no_file(tmp_path, kind):
    if kind == "folder":
        (tmp_path / "run.toml").mkdir()
    said = train("--config", tmp_path / "run.toml", "--out", tmp_path / "run", code=2)
    assert said.startswith("Error: Invalid value for '--config': cannot read")


SET = {
    "steps=1e23": "steps = '1e23': allowed is a whole number",
    "steps=100000000000000000000000": "allowed is 0 to 1,000,000,000,000",
    f"steps={'9' * 5000}": "allowed is a whole number",
    "steps=1.5": "steps = '1.5': allowed is a whole number",
    "width=1000000000": "width = 1000000000: allowed is 1 to 4,096",
    "width=-1": "width = -1: allowed is 1 to 4,096",
    "width=4096": "weights: allowed are 2,147,483,648",
    "batch_size=1000000000000": "batch_size = 1000000000000: allowed is 1 to 65,536",
    "crop=99999999": "crop = 99999999: allowed is 8 to 65,536",
    "size=64,99999999": "size = (64, 99999999): allowed is 8 to 65,536",
    "size=1,2,3": "size = '1,2,3': allowed is",
    "patches=10000000": "patches = 10000000: allowed is 1 to 1,000,000",
    "first_rate=nan": "first_rate = 'nan': allowed is a number",
    "first_rate=1e400": "first_rate = '1e400': allowed is a number",
    "first_rate=1e300": "first_rate = 1e+300: allowed is",
    "seed=9223372036854775808": "seed = 9223372036854775808: allowed is",
    "channels=7": "channels = 7: allowed is 1 to 3",
    "channels=2": "channels = 2: allowed is one of 1, 3",
    "nle=3": "nle = '3': allowed is true or false",
    "recipe=\ud800": "recipe",
    f"recipe={'x' * 3000}": "unknown recipe",
    f"{'x' * 3000}=3": "unknown field",
    "=3": "unknown field ''",
}


@pytest.mark.parametrize("change", SET, ids=[change[:30].encode("ascii", "replace").decode() for change in SET])
def test_absurd_fields(tmp_path, change):
    said = train("xbdcnn", CHEST, *SMALL, "--out", tmp_path / "run", "--set", change, code=2)
    assert "Invalid value for '--set': " in said
    assert SET[change] in said
    assert len(said.splitlines()) == 1
    assert len(said) < 4000
    assert not (tmp_path / "run").exists()


OPTIONS = {
    ("--cache", "nan"): "'--cache': nan",
    ("--cache", "1e300"): "'--cache': 1e+300: expected `float` <= 1000000.0",
    ("--hold-out", "nan"): "'--hold-out': nan",
    ("--ema", "nan"): "'--ema': nan",
    ("--workers", "1000000"): "'--workers': 1000000: expected `int` <= 1024",
    ("--epochs", "1" + "0" * 40): "'--epochs': 1",
    ("--steps", "1" + "0" * 40): "'--steps'",
    ("--keep", "0"): "'--keep'",
    ("--group", "x" * 5000): "'--group': 'xxx",
    ("--devices", "\ud800"): "'--devices': '\\ud800' is not UTF-8 text",
}


@pytest.mark.parametrize(
    "option", OPTIONS, ids=[" ".join(option)[:20].encode("ascii", "replace").decode() for option in OPTIONS]
)
def test_absurd_options(tmp_path, option):
    said = train("xbdcnn", CHEST, *SMALL, "--out", tmp_path / "run", *option, code=2)
    assert OPTIONS[option] in said
    assert not (tmp_path / "run").exists()


def test_every_option_can_be_written(tmp_path):
    assert {"keep", "ema", "precision"} <= set(NAMES)
    with pytest.raises(Refusal):
        read(tmp_path / "none.toml", "--config")


RECORDS = [
    "",
    "[]",
    "3",
    "{",
    '{"high": 3, "low": []}',
    '{"high": [["a"]], "low": []}',
    '{"high": ["a"]}',
    "\0",
    "[" * 2000,
]


@pytest.mark.parametrize("text", RECORDS)
@pytest.mark.parametrize("option", ["--held-out", "--without"])
def test_a_damaged_record_of_what_is_kept_out(tmp_path, text, option):
    from tests.cli.test_cli_train import enhance

    (tmp_path / "held_out.json").write_text(text)
    words = {
        "--held-out": ["evaluate", "identity", CHEST],
        "--without": ["segmenter", "phantom:fundus?count=5&size=64", tmp_path / "s.safetensors"],
    }[option]
    said = enhance(*words, option, tmp_path, code=2)
    assert f"Invalid value for '{option}': {str(tmp_path / 'held_out.json')!r}: " in said
    assert len(said.splitlines()) == 1
    (tmp_path / "held_out.json").write_text(json.dumps({"high": ["nothing"], "low": []}))
    (tmp_path / "held_out.json").unlink()
    assert "is no run of 'enhance train'" in enhance(*words, option, tmp_path, code=2)
