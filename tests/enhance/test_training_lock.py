"""A second process on the folder of a run is refused, and leaves it as it is."""

from __future__ import annotations

import subprocess
import sys

import pytest

from degrade.files import LockedError
from tests.cli.test_cli_train import CHEST, SMALL
from tests.cli.test_cli_train import train as command
from tests.training_samples import run, tiny

pytest.importorskip("fcntl", reason="this system has no locks of this kind")
HOLDER = """
import sys
from degrade.files import locked
with locked(sys.argv[1]):
    print("locked", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder():
    """Locks a folder in another process, until it is killed."""
    processes = []

    def lock(folder):
        words = [sys.executable, "-c", HOLDER, str(folder)]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "locked\n"
        return process

    yield lock
    for process in processes:
        process.kill()
        process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["new", "resume", "overwrite"])
def test_refused_while_another_process_writes(tmp_path, holder, way):
    if way != "new":
        run(tmp_path, tiny(steps=2))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = holder(tmp_path)
    with pytest.raises(LockedError, match=f"is being written by another process .process {other.pid}"):
        run(tmp_path, tiny(steps=4), **({} if way == "new" else {way: True}))
    after = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}
    assert after == before
    other.kill()  # its lock dies with it
    other.wait()
    run(tmp_path, tiny(steps=4), **({} if way == "new" else {way: True}))
    assert not (tmp_path / ".lock").exists()


def test_the_command_says_so(tmp_path, holder):
    holder(tmp_path / "run")
    said = command("xbdcnn", CHEST, *SMALL, "--out", tmp_path / "run", "--steps", 1, code=1)
    assert said.startswith("Error: ")
    assert "is being written by another process" in said
    assert len(said.splitlines()) == 1


def test_it_is_locked_from_the_first_to_the_last_write(tmp_path, holder):
    """Where the folder is written to, its lock is there."""
    trainer = tiny(steps=1)
    stepped = trainer.step

    def step(*arguments):
        with pytest.raises(AssertionError):
            holder(tmp_path)
        return stepped(*arguments)

    trainer.step = step
    run(tmp_path, trainer)
