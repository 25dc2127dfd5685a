"""Interruption: signals such as Ctrl-C and SIGTERM stop a run after the current step."""

from __future__ import annotations

import os
import signal
import time
from types import FrameType
from typing import Any

GOES_ON = 85
"""Exit status of a command whose run was stopped by a signal other than Ctrl-C and can be resumed."""
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU")  # Windows has only some
_ONE_CTRL_C = 1.0
"""Seconds within which another SIGINT counts as the same Ctrl-C: torchrun repeats the one of the terminal."""


class Stopped(KeyboardInterrupt):
    """A run was stopped by a signal, between two steps.

    Attributes:
        signal: number of the signal.
        step: of the checkpoint that a resume starts from; None if there is none yet.
        saved: whether that checkpoint holds all steps done.
    """

    def __init__(self, number: int, step: int | None, saved: bool) -> None:
        super().__init__(f"{signal.Signals(number).name}: stopped after step {step}")
        self.signal, self.step, self.saved = number, step, saved

    @property
    def status(self) -> int:
        """Exit status for the command: 130 after Ctrl-C, else `GOES_ON`."""
        return 130 if self.signal == signal.SIGINT else GOES_ON


class Interruption:
    """Context that records stop signals, with which Python would end in the middle of a step.

    SIGINT (Ctrl-C), SIGTERM, SIGHUP, SIGUSR1 and SIGXCPU are recorded; a second Ctrl-C stops at once. A signal that is
    ignored when the context is entered stays ignored: under nohup SIGHUP, in a background job of a shell script
    SIGINT. Outside the main thread nothing is recorded, since Python handles signals in the main thread alone.

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
        """Wait for a stop signal and return its number; None if there is none in time."""
        until = time.monotonic() + seconds
        while self.signal is None and time.monotonic() < until:
            time.sleep(0.01)
        return self.signal

    def _note(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked worker: the signal is for its parent
            if number == signal.SIGTERM:
                os._exit(143)
            return
        if self.signal is None:
            self.signal, self._since = number, time.monotonic()
        elif number == signal.SIGINT and time.monotonic() - self._since > _ONE_CTRL_C:
            raise KeyboardInterrupt
