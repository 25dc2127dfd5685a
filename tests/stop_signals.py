"""The signals that ask a run to stop, and the exit status of `enhance train` for each."""

from __future__ import annotations

import signal

import pytest

from enhance.training import GOES_ON

STOPPING = [
    ("SIGINT", 130),
    *((name, GOES_ON) for name in ("SIGTERM", "SIGHUP", "SIGUSR1", "SIGXCPU") if hasattr(signal, name)),
]
posix = pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="this system has none of these signals")
