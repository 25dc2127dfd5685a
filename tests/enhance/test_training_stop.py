"""Signals: a run that is asked to stop saves first, and workers that die of the same signal lose nothing."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import select
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import enhance.checkpoints as checkpoints
from degrade.stream import StreamError
from enhance.training import GOES_ON, Stopped
from enhance.training.interruption import Interruption
from tests.training_samples import lines, run, same, tiny, weights

ROOT = Path(__file__).parents[2]
STOPPING = [
    ("SIGINT", 130),
    *((name, GOES_ON) for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU") if hasattr(signal, name)),
]
posix = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has none of these signals")


@pytest.fixture(autouse=True)
def _as_in_a_terminal():
    """Signals that are ignored here, as in a background job, would stay ignored."""
    found = {number: signal.getsignal(number) for name, _ in STOPPING if (number := getattr(signal, name))}
    for number in found:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in found.items():
        signal.signal(number, handler)


def at(trainer, number, action, after=False):
    """The trainer, with something happening in the middle of a step, before its update or after."""
    stepped = trainer.step

    def step(batch, now, update):
        if now == number and not after:
            action()
        found = stepped(batch, now, update)
        if now == number and after:
            action()
        return found

    trainer.step = step
    return trainer


def send(number):
    os.kill(os.getpid(), number)


def kill_workers():
    """Kills the processes that decode, and waits until they are dead."""
    workers = multiprocessing.active_children()
    assert workers
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(timeout=30)


class TestStopping:
    @pytest.mark.parametrize(("name", "status"), STOPPING)
    def test_the_step_is_finished_and_saved(self, tmp_path, name, status):
        number = getattr(signal, name)
        trainer = at(tiny(steps=50), 2, lambda: send(number))
        with pytest.raises(Stopped) as stopped:
            run(tmp_path / "stopped", trainer, save_every=100)
        assert (stopped.value.signal, stopped.value.step, stopped.value.saved) == (number, 3, True)
        assert stopped.value.status == status
        assert isinstance(stopped.value, KeyboardInterrupt)
        assert (tmp_path / "stopped/state_000003.pt").exists()
        run(tmp_path / "stopped", tiny(steps=5), resume=True)
        run(tmp_path / "whole", tiny(steps=5))
        assert same(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))

    def test_a_signal_in_the_last_step_stops_nothing(self, tmp_path):
        run(tmp_path, at(tiny(steps=3), 2, lambda: send(signal.SIGTERM)))
        assert lines(tmp_path)[-1]["step"] == 3

    def test_the_same_one_again_changes_nothing(self, tmp_path):
        """SLURM, systemd and torchrun send SIGTERM more than once."""

        def twice():
            for name in ("SIGUSR1", "SIGTERM", "SIGTERM", "SIGINT"):
                send(getattr(signal, name))

        with pytest.raises(Stopped) as stopped:
            run(tmp_path, at(tiny(steps=50), 2, twice), save_every=100)
        assert (stopped.value.step, stopped.value.saved) == (3, True)

    def test_a_second_ctrl_c_stops_at_once(self, monkeypatch):
        with Interruption() as interruption:
            send(signal.SIGINT)
            assert interruption.signal == signal.SIGINT
            send(signal.SIGINT)  # torchrun sends on what the terminal has sent to all
            later = time.monotonic() + 5
            monkeypatch.setattr(time, "monotonic", lambda: later)
            with pytest.raises(KeyboardInterrupt):
                send(signal.SIGINT)

    def test_what_is_ignored_stays_ignored(self):
        """As in a background job of a script, or under nohup."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with Interruption() as interruption:
            send(signal.SIGINT)
            assert interruption.signal is None
            send(signal.SIGTERM)
            assert interruption.signal == signal.SIGTERM
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN

    def test_in_a_thread_it_does_nothing(self):
        before = {name: signal.getsignal(getattr(signal, name)) for name, _ in STOPPING}

        def enter():
            with Interruption():
                pass

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        assert {name: signal.getsignal(getattr(signal, name)) for name, _ in STOPPING} == before


@posix
class TestWorkersDeath:
    """Of the processes that decode, in the middle of anything."""

    def test_in_the_middle_of_a_step_after_a_stop(self, tmp_path):
        def both():
            send(signal.SIGTERM)
            kill_workers()

        with pytest.raises(Stopped) as stopped:
            run(tmp_path / "stopped", at(tiny(steps=50), 2, both), workers=2, save_every=100)
        assert (stopped.value.step, stopped.value.saved) == (3, True)
        run(tmp_path / "stopped", tiny(steps=5), resume=True)
        run(tmp_path / "whole", tiny(steps=5))
        assert same(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))

    def test_between_the_update_and_the_end_of_a_step(self, tmp_path):
        def both():
            kill_workers()
            send(signal.SIGUSR1)

        with pytest.raises(Stopped) as stopped:
            run(tmp_path, at(tiny(steps=50), 2, both, after=True), workers=1, save_every=100)
        assert (stopped.value.step, stopped.value.saved) == (3, True)

    def test_in_the_middle_of_saving(self, tmp_path, monkeypatch):
        written = checkpoints.write_bytes

        def dying(path, data):
            if "state_000003" in str(path):
                kill_workers()
            written(path, data)

        monkeypatch.setattr(checkpoints, "write_bytes", dying)
        with pytest.raises(Stopped) as stopped:
            run(tmp_path, at(tiny(steps=50), 2, lambda: send(signal.SIGTERM)), workers=1, save_every=100)
        assert (stopped.value.step, stopped.value.saved) == (3, True)
        assert checkpoints.read_weights(tmp_path).step == 3

    def test_before_the_signal_is_here(self, tmp_path):
        """SLURM and systemd send signals to one process after another."""

        def both():
            kill_workers()
            threading.Timer(0.3, lambda: send(signal.SIGTERM)).start()

        with pytest.raises(Stopped):
            run(tmp_path, at(tiny(steps=50_000), 2, both), workers=1, save_every=10**6, log_every=10**6)
        assert checkpoints.read_weights(tmp_path).step >= 3

    def test_without_a_stop_it_is_an_error_that_loses_nothing(self, tmp_path):
        with pytest.raises(StreamError, match=r"a process that decodes images died.*killed by SIGKILL"):
            run(tmp_path / "stopped", at(tiny(steps=50_000), 2, kill_workers), workers=1, save_every=10**6)
        done = checkpoints.read_weights(tmp_path / "stopped").step
        assert done >= 3
        run(tmp_path / "stopped", tiny(steps=done + 2), resume=True)
        run(tmp_path / "whole", tiny(steps=done + 2))
        assert same(weights(tmp_path / "stopped"), weights(tmp_path / "whole"))


SMALL = [
    *("--set", "width=4", "--set", "level_width=4", "--set", "crop=32", "--set", "batch_size=2", "--set", "patches=8"),
    *("--log-every", "1", "--save-every", "100000", "--validate-every", "100000"),
]


def command(folder, *arguments, launcher=("-m", "cli.enhance")):
    """`enhance train` as a process group of its own, once it has done some steps."""
    source = "phantom:chest?count=8&size=64"
    words = [sys.executable, *launcher, "train", "xbdcnn", source, "--out", folder, "--steps", "100000"]
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


@posix
@pytest.mark.slow
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


@posix
@pytest.mark.slow
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


@posix
@pytest.mark.slow
def test_a_worker_that_dies_in_one_of_two_processes_ends_both(tmp_path):
    process = command(tmp_path / "run", "--devices", "cpu:2", "--workers", "1")
    second = second_of(process.pid)
    os.kill(children_of(second)[-1], signal.SIGKILL)
    code, said = ended(process)
    assert code != 0
    assert said.count("a process that decodes images died") == 1, said
    assert checkpoints.read_weights(tmp_path / "run").step == 0  # those that had a batch were one ahead


@posix
@pytest.mark.slow
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


@posix
@pytest.mark.slow
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
