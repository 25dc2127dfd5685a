"""Interruption: signals that ask a run to stop after the step at hand."""

from __future__ import annotations

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


class Interruption:
    """Notes signals that ask to stop, where Python would stop in the middle of a step.

    SIGINT (Ctrl-C), SIGTERM, SIGHUP, SIGUSR1 and SIGXCPU are noted; a second Ctrl-C stops at once. A signal that is
    ignored when the context is entered stays ignored: under nohup SIGHUP, in a background job of a shell script
    SIGINT. Outside the main thread nothing is noted, since Python handles signals in the main thread alone.

    >>> with Interruption() as interruption:
    ...     interruption.signal is None
    True
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._since = 0.0
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for name in _NAMES:
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) in (signal.SIG_IGN, None):
                continue
            try:
                self._before[number] = signal.signal(number, self._note)
            except ValueError:  # not the main thread
                break
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

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
