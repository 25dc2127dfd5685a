"""Options of a run are declared once: flags, keys of run.toml, help and checks follow from the dataclass."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass

import click
import msgspec
import pytest
from click.testing import CliRunner

from cli.runfile import NAMES, Data, RunFile, _type, read
from cli.runflags import flags_of
from cli.train import train_command
from enhance.option_fields import documented, from_keys, option, options_of
from enhance.training import Options
from enhance.training.processes import RunError
from tests.cli.test_cli_train import train

FIELDS = [(kind, one) for kind in (Data, Options) for one in options_of(kind)]
PARAMETERS = {parameter.name: parameter for parameter in train_command.params}
NAMED = [one.name for _, one in FIELDS]


def test_every_field_is_an_option():
    for kind in (Data, Options):
        assert [one.name for one in options_of(kind)] == [field.name for field in dataclasses.fields(kind)]


@pytest.mark.parametrize(("kind", "one"), FIELDS, ids=NAMED)
def test_every_field_has_a_flag_a_key_and_help(kind, one):
    assert one.key in NAMES
    assert one.about.help.endswith(".")
    assert one.about.help in kind.__doc__
    parameter = PARAMETERS[one.key]
    if one.about.argument:
        assert isinstance(parameter, click.Argument)
        return
    assert one.flag in parameter.opts
    assert one.about.help in parameter.help
    for part in (one.allowed if not one.about.choices else one.metavar, one.default_text):
        assert part in f"{parameter.help} {parameter.metavar}"


def _value(one):
    """A value of run.toml that is allowed and not the default."""
    if one.kind is bool:
        return not one.default
    if one.kind is str:
        return one.about.choices[-1] if one.about.choices else "cpu"
    return 0.5 if one.about.below or one.kind is float else 3


def test_flag_and_file_tell_a_run_the_same(tmp_path):
    words, values = [], {}
    for _, one in FIELDS:
        if one.about.argument:
            continue
        values[one.key] = value = _value(one)
        if one.kind is bool:
            words.append(one.flag if value else one.flag.replace("--", "--no-", 1))
        else:
            words += [one.flag, str(value)]
    shown = tomllib.loads(train("xbdcnn", "s", *words, "--show"))
    assert {name: shown[name] for name in values} == values
    (tmp_path / "run.toml").write_text(RunFile({"network": "xbdcnn", "source": "s", **values}).to_toml())
    assert tomllib.loads(train("--config", tmp_path / "run.toml", "--show")) == shown
    options = from_keys(Options, values)
    for one in options_of(Options):
        assert getattr(options, one.name) == values[one.key] * one.about.scale != one.default


NUMBERS = [one for one in options_of(Options) if one.kind in (int, float)]


@pytest.mark.parametrize("one", NUMBERS, ids=[one.name for one in NUMBERS])
def test_what_is_outside_the_range_is_refused_everywhere(tmp_path, one):
    about = one.about
    outside = [about.least - 1]
    outside += [] if about.most is None else [about.most + 1]
    outside += [] if about.below is None else [about.below]
    for value in outside:
        with pytest.raises(RunError, match=rf"^{one.name} = .*: allowed is at least {about.least:g}"):
            Options(**{one.name: value * about.scale})
        (tmp_path / "run.toml").write_text(f"{one.key} = {value}\n")
        with pytest.raises(click.BadParameter, match=rf"line 1: \$\.{one.key}: expected"):
            read(tmp_path / "run.toml", "--config")
        said = train("xbdcnn", "s", f"{one.flag}={value}", "--show", code=2)
        assert f"Invalid value for '{one.flag}': {value}" in said
    Options(**{one.name: type(one.default or 1)(about.least * about.scale)})


@documented
@dataclass(frozen=True, kw_only=True)
class More(Options):
    """The options, and one more."""

    accumulate: int = option(1, "Batches whose gradients make one update.", unit="batches", least=1, most=64)


def test_a_new_option_takes_one_field():
    @click.command()
    @flags_of(More)
    def command(**told):
        click.echo(from_keys(More, {name: value for name, value in told.items() if value is not None}).accumulate)

    def run(*words):
        return CliRunner().invoke(command, words).output.strip()

    assert run() == "1"
    assert run("--accumulate", "4") == "4"
    assert "[default: 1; at least 1 and at most 64]" in " ".join(run("--help").split())
    assert "accumulate: [batches] Batches whose gradients make one update. Allowed is" in More.__doc__
    with pytest.raises(RunError, match="accumulate = 65: allowed is at least 1 and at most 64"):
        More(accumulate=65)
    with pytest.raises(msgspec.ValidationError, match="<= 64"):
        msgspec.convert(65, _type(options_of(More)[-1]))


OLD = '''network = "xbdcnn"
source = "phantom:chest?count=5&size=64"
unpaired = "low"
vessels = "v"
hold_out = 0.2
group = "(a)"
epochs = 3
devices = "cpu:2"
precision = "bf16-mixed"
workers = 2
cache = 1.5
validate_every = 7
save_every = 8
keep = 9
log_every = 10
ema = 0.5
tensorboard = true

[config]
batch_size = 8
crop = "none"
recipe = """
# noise
recipe = "x-bdcnn"
"""
'''


def test_a_run_file_of_the_version_before_is_read(tmp_path):
    """As the version before wrote it."""
    (tmp_path / "run.toml").write_text(OLD)
    found = read(tmp_path / "run.toml", "--config")
    assert found.config == {"batch_size": 8, "crop": "none", "recipe": '# noise\nrecipe = "x-bdcnn"\n'}
    assert found.to_toml() == OLD.replace("tensorboard = true", 'logger = "tensorboard"')
    assert from_keys(Options, found.told) == Options(
        epochs=3,
        devices="cpu:2",
        precision="bf16-mixed",
        workers=2,
        cache_bytes=3 * 2**29,
        validate_every=7,
        save_every=8,
        keep=9,
        log_every=10,
        ema=0.5,
        logger="tensorboard",
    )
