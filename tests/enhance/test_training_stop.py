"""Signals to a training loop: it saves before it stops, and workers that die of the same signal lose nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time

import pytest

import enhance.checkpoints as checkpoints
from degrade.stream import StreamError
from enhance.training import Stopped
from enhance.training.interruption import Interruption
from tests.stop_signals import STOPPING, posix
from tests.training_samples import lines, run, same, tiny, weights

pytestmark = pytest.mark.usefixtures("default_signal_handlers")


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
