"""Interruption: signals that ask a run to stop after the step at hand, and workers that die of them."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from types import FrameType
from typing import Any

GOES_ON = 85
"""Exit status of a command whose run was stopped by a signal other than Ctrl-C's: resume it."""
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")  # Windows has only some
_ONE_CTRL_C = 1.0
"""Seconds within which another SIGINT is the same Ctrl-C: torchrun repeats what the terminal has sent to all."""


class Stopped(KeyboardInterrupt):
    """A run that was asked to stop, and did so between two steps.

    Attributes:
        signal: number of the signal that asked.
        step: of the checkpoint from which a resume goes on; None where there is none yet.
        saved: whether that checkpoint has everything that was done.
    """

    def __init__(self, number: int, step: int | None, saved: bool) -> None:
        super().__init__(f"{signal.Signals(number).name}: stopped after step {step}")
        self.signal, self.step, self.saved = number, step, saved

    @property
    def status(self) -> int:
        """Exit status for the command: 130 after Ctrl-C, else `GOES_ON`."""
        return 130 if self.signal == signal.SIGINT else GOES_ON


class _Quiet:
    """PyTorch's handler of dead workers, without what it raises: their data loader notices by itself."""

    def __init__(self, raises: Any) -> None:
        self.raises = raises

    def __call__(self, number: int, frame: FrameType | None) -> None:
        with contextlib.suppress(RuntimeError):
            self.raises(number, frame)


class Interruption:
    """Notes signals that ask to stop, where Python would stop in the middle of a step.

    SIGINT (Ctrl-C), SIGTERM, SIGHUP, SIGUSR1 and SIGXCPU are noted; a second Ctrl-C stops at once. A signal that is
    ignored when the context is entered stays ignored: under nohup SIGHUP, in a background job of a shell script
    SIGINT. Outside the main thread nothing is noted, since Python handles signals in the main thread alone.

    PyTorch raises in the middle of whatever is running when a worker process of a data loader dies. From `hold` on the
    reason is noted in `death` instead; who waits for the worker's data learns of it from the data loader.

    >>> with Interruption() as interruption:
    ...     interruption.signal is None
    True
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self.death = ""
        self._since = 0.0
        self._process = os.getpid()
        self._before: dict[int, Any] = {}
        self._raises: Any = None
        self._asking = False

    def __enter__(self) -> Interruption:
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) in (signal.SIG_IGN, None):
                continue
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread
                break
        self.hold()
        return self

    def __exit__(self, *_: object) -> None:
        if self._raises is not None and signal.getsignal(signal.SIGCHLD) == self._note_death:
            stopped = self.signal is not None or self.death  # then workers may die until their data loader is deleted
            signal.signal(signal.SIGCHLD, _Quiet(self._raises) if stopped else self._raises)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def hold(self) -> None:
        """Take the place of the handler that PyTorch installs with the first worker process, if it is there."""
        number = getattr(signal, "SIGCHLD", None)
        if number is None or not self._before:
            return
        handler = signal.getsignal(number)
        if callable(handler) and handler != self._note_death:
            signal.signal(number, self._note_death)
            self._raises = handler.raises if isinstance(handler, _Quiet) else handler

    def wait(self, seconds: float) -> int | None:
        """The number of the signal that asks to stop, as soon as it comes; None if it does not come in time."""
        until = time.monotonic() + seconds
        while self.signal is None and time.monotonic() < until:
            time.sleep(0.01)
        return self.signal

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a worker that was forked: what is asked is asked of its parent
            if number == signal.SIGTERM:
                os._exit(143)
            return
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since > _ONE_CTRL_C:
            raise KeyboardInterrupt

    def _note_death(self, number: int, frame: FrameType | None) -> None:
        if self._asking or os.getpid() != self._process:
            return
        self._asking = True
        try:
            self._raises(number, frame)
        except RuntimeError as error:
            self.death = " ".join(str(error).split())
        finally:
            self._asking = False
