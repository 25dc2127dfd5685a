"""`enhance train --resume`: a refusal changes nothing, and the split of a run never changes."""

from __future__ import annotations

import json
import shutil

import pytest

from enhance.checkpoints import read_weights
from tests.cli.test_cli_train import SMALL, images, train
from tests.training_samples import same, weights

NAMES = [f"p{number}" for number in range(8)]
COLOR = [*SMALL, "--set", "channels=3", "--set", "last_rate=0.001"]  # rates that do not depend on the run's length


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Images, a run of two steps on them, and the same run after four."""
    folder = tmp_path_factory.mktemp("begun")
    good, _ = images(folder, NAMES)
    for name, steps in (("run", 2), ("whole", 4)):
        train("xbdcnn", good, *COLOR, "--out", folder / name, "--steps", steps, "--hold-out", 0.25)
    return folder


@pytest.fixture
def folder(begun, tmp_path):
    shutil.copytree(begun, tmp_path / "copy")
    text = (tmp_path / "copy/run/run.toml").read_text()
    (tmp_path / "copy/run/run.toml").write_text(text.replace(str(begun), str(tmp_path / "copy")))
    return tmp_path / "copy"


def files(folder):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--set", "batch_size=1"], "was begun with batch_size = 2: it cannot go on with 1", 1),
        (["--set", "width=8"], "was begun with width = 4: it cannot go on with 8", 1),
        (["--steps", 1], "has done 2 already", 1),
        (["--hold-out", 0.5], "'--hold-out': 0.5: the split of a run never changes, and it was begun with 0.25", 2),
        (["--group", "^(p)"], "'--group': '^(p)': the split of a run never changes", 2),
        (["--precision", "8"], "precision = '8'", 2),
    ],
)
def test_a_refused_resume_changes_nothing(folder, arguments, message, code):
    before = files(folder)
    assert message in train("--resume", "--out", folder / "run", *arguments, code=code)
    assert files(folder) == before
    train("--resume", "--out", folder / "run", "--steps", 4)  # it goes on as if nothing had been
    assert same(weights(folder / "run"), weights(folder / "whole"))


def test_the_split_is_written_down(folder):
    held, on = (json.loads((folder / "run" / name).read_text()) for name in ("held_out.json", "trained_on.json"))
    assert sorted(held["high"] + on["high"]) == NAMES
    assert len(held["high"]) == 2
    assert held["low"] == on["low"] == []


def test_added_images_are_left_out(folder):
    """With them it would be another run; those that it has trained on must never count as kept out."""
    before = (folder / "run/held_out.json").read_bytes()
    for name in ("a", "p3b", "z"):
        shutil.copy(folder / "good/p3.png", folder / "good" / f"{name}.png")
    said = train("--resume", "--out", folder / "run", "--steps", 4)
    assert "3 images have been added since the run began, which goes on without: 'a', 'p3b', 'z'" in said
    assert (folder / "run/held_out.json").read_bytes() == before
    assert same(weights(folder / "run"), weights(folder / "whole"))


@pytest.mark.parametrize("side", ["held_out.json", "trained_on.json"])
def test_missing_images_are_named(folder, side):
    gone = json.loads((folder / "run" / side).read_text())["high"][:2]
    for name in gone:
        (folder / "good" / f"{name}.png").unlink()
    before = files(folder / "run")
    said = train("--resume", "--out", folder / "run", "--steps", 4, code=2)
    assert f"2 images of the run are missing: {gone[0]!r}, {gone[1]!r}" in said
    assert files(folder / "run") == before


@pytest.mark.parametrize("harm", ["", "{", "{}", '{"high": [1], "low": []}', '{"high": "p0", "low": []}', None])
def test_without_a_record_of_the_split_it_does_not_go_on(folder, harm):
    file = folder / "run/held_out.json"
    file.unlink()
    if harm is not None:
        file.write_text(harm)
    before = files(folder / "run")
    said = train("--resume", "--out", folder / "run", "--steps", 4, code=1)
    assert "held_out.json" in said
    assert "images that the run has trained on would count as kept out. Nothing was changed" in said
    assert len(said.splitlines()) == 1
    assert files(folder / "run") == before


def test_runs_of_older_versions_go_on(folder):
    (folder / "run/trained_on.json").unlink()
    train("--resume", "--out", folder / "run", "--steps", 4)
    assert same(weights(folder / "run"), weights(folder / "whole"))
    assert (folder / "run/trained_on.json").read_bytes() == (folder / "whole/trained_on.json").read_bytes()


def test_added_images_end_a_run_of_an_older_version(folder):
    """It does not say what it has trained on."""
    (folder / "run/trained_on.json").unlink()
    shutil.copy(folder / "good/p3.png", folder / "good/a.png")
    before = files(folder / "run")
    assert "was begun on other images" in train("--resume", "--out", folder / "run", "--steps", 4, code=1)
    assert files(folder / "run") == before


def test_a_run_that_was_killed_at_once_begins(folder):
    """Its records may be there, and nothing else."""
    for path in (folder / "run").iterdir():
        if path.name not in ("run.toml", "held_out.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    train("--resume", "--out", folder / "run", "--steps", 4)
    assert same(weights(folder / "run"), weights(folder / "whole"))


def test_without_checkpoints_it_does_not_begin_anew(folder):
    for pattern in ("weights*", "state*"):
        for path in (folder / "run").glob(pattern):
            path.unlink()
    before = files(folder / "run")
    said = train("--resume", "--out", folder / "run", "--steps", 4, code=1)
    assert "has no checkpoint that is whole" in said
    assert len(said.splitlines()) == 1
    assert files(folder / "run") == before


def test_keep(folder):
    train("--resume", "--out", folder / "run", "--steps", 6, "--save-every", 1, "--keep", 3)
    assert "keep = 3\n" in (folder / "run/run.toml").read_text()
    assert sorted(path.name for path in (folder / "run").glob("state_*")) == [f"state_{n:06d}.pt" for n in (4, 5, 6)]
    assert read_weights(folder / "run").step == 6
