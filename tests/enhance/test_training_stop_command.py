"""Signals to `enhance train` and its processes: exit status, what is saved, and what is said."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import enhance.checkpoints as checkpoints
from enhance.training import GOES_ON
from tests.stop_signals import STOPPING, posix
from tests.training_samples import lines

pytestmark = [posix, pytest.mark.slow, pytest.mark.usefixtures("default_signal_handlers")]

ROOT = Path(__file__).parents[2]
SMALL = [
    *("--set", "width=4", "--set", "level_width=4", "--set", "crop=32", "--set", "batch_size=2", "--set", "patches=8"),
    *("--log-every", "1", "--save-every", "100000", "--validate-every", "100000"),
]


def command(folder, *arguments):
    """`enhance train` as a process group of its own, once it has done some steps."""
    source = "phantom:chest?count=8&size=64"
    words = [sys.executable, "-m", "cli.enhance", "train", "xbdcnn", source, "--out", folder, "--steps", "100000"]
    process = subprocess.Popen(
        [*map(str, words), *SMALL, *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until = time.monotonic() + 120
    while not (folder / "log.jsonl").exists() or len((folder / "log.jsonl").read_bytes().splitlines()) < 4:
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)
    return process


def ended(process, timeout=60):
    """Its exit status and what it said; nothing of it is left."""
    try:
        said = process.communicate(timeout=timeout)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert "Traceback" not in said, said
    return process.returncode, said


@pytest.mark.parametrize(("name", "status"), STOPPING)
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_to_the_process_group(tmp_path, name, status, workers):
    process = command(tmp_path / "run", "--devices", "cpu", "--workers", str(workers))
    os.killpg(process.pid, getattr(signal, name))
    code, said = ended(process)
    done = lines(tmp_path / "run")[-1]["step"]
    assert code == status, said
    assert f"Stopped by {name} after step {done}, saved. To go on: enhance train --resume --out" in said
    assert checkpoints.read_weights(tmp_path / "run").step == done


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def second_of(pid):
    """The process that Fabric has started beside the first one."""
    return next(child for child in children_of(pid) if b"LOCAL_RANK=1" in Path(f"/proc/{child}/environ").read_bytes())


@pytest.mark.parametrize("to", ["first", "second", "group"])
def test_two_processes_stop_after_the_same_step(tmp_path, to):
    process = command(tmp_path / "run", "--devices", "cpu:2", "--workers", "1")
    if to == "group":
        os.killpg(process.pid, signal.SIGUSR1)
    else:
        os.kill(process.pid if to == "first" else second_of(process.pid), signal.SIGUSR1)
    code, said = ended(process)
    assert code == GOES_ON, said
    assert said.count("Stopped by SIGUSR1 after step") == 1
    assert checkpoints.read_weights(tmp_path / "run").step == lines(tmp_path / "run")[-1]["step"]


def test_a_worker_that_dies_in_one_of_two_processes_ends_both(tmp_path):
    process = command(tmp_path / "run", "--devices", "cpu:2", "--workers", "1")
    second = second_of(process.pid)
    os.kill(children_of(second)[-1], signal.SIGKILL)
    code, said = ended(process)
    assert code != 0
    assert said.count("a process that decodes images died") == 1, said
    assert checkpoints.read_weights(tmp_path / "run").step == 0  # those that had a batch were one ahead


def test_a_closed_terminal(tmp_path):
    """SIGHUP comes, and whatever is printed from then on is an error."""
    pty, termios = pytest.importorskip("pty"), pytest.importorskip("termios")
    fcntl = pytest.importorskip("fcntl")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "cli.enhance", "train", "xbdcnn", "phantom:chest?count=8&size=64", *SMALL]
    process = subprocess.Popen(
        [*words, "--out", str(tmp_path / "run"), "--steps", "100000", "--devices", "cpu", "--workers", "1"],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(theirs)
    log, until = tmp_path / "run/log.jsonl", time.monotonic() + 120
    while not log.exists() or len(log.read_bytes().splitlines()) < 4:
        if select.select([ours], [], [], 0.02)[0]:
            os.read(ours, 65536)  # else the terminal is full, and the run waits for it
        assert process.poll() is None
        assert time.monotonic() < until
    os.close(ours)
    assert process.wait(timeout=60) == GOES_ON
    assert checkpoints.read_weights(tmp_path / "run").step == lines(tmp_path / "run")[-1]["step"]


def test_a_background_job_of_a_script_ignores_ctrl_c(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # what a shell without job control does; children inherit it
    try:
        process = command(tmp_path / "run", "--devices", "cpu", "--workers", "1")
    finally:
        signal.signal(signal.SIGINT, before)
    os.killpg(process.pid, signal.SIGINT)
    before = len(lines(tmp_path / "run"))
    until = time.monotonic() + 60
    while len(lines(tmp_path / "run")) < before + 5 and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGTERM)
    assert ended(process)[0] == GOES_ON
