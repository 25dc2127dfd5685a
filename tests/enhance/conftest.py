"""A fixture that several tests of training share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from tests.stop_signals import STOPPING


@pytest.fixture
def default_signal_handlers() -> Iterator[None]:
    """Handle signals as in a terminal: those that are ignored here, as in a background job, would stay ignored."""
    found = {number: signal.getsignal(number) for name, _ in STOPPING if (number := getattr(signal, name))}
    for number in found:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in found.items():
        signal.signal(number, handler)
