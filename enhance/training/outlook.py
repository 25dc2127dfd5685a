"""When a run on a CPU will end: said once, because the published lengths take a CPU weeks."""

from __future__ import annotations

import time
from datetime import datetime

AFTER = 20.0
"""Seconds of training after which the end is estimated."""
WORTH_SAYING = 1800.0
"""Remaining seconds below which nothing is said."""


class Outlook:
    """Estimate the end of a run from its first steps.

    Args:
        step: number of steps done when the run begins or goes on.
        steps: of the whole run.
    """

    def __init__(self, step: int, steps: int) -> None:
        self._first, self._steps, self._since = step, steps, time.monotonic()
        self._said = False

    def line(self, step: int) -> str | None:
        """What to say after a step; None for nothing. It is said at most once."""
        seconds = time.monotonic() - self._since
        if self._said or seconds < AFTER or step == self._first:
            return None
        self._said = True
        left = seconds / (step - self._first) * (self._steps - step)
        return text(seconds / (step - self._first), self._steps, left) if left > WORTH_SAYING else None


def text(seconds: float, steps: int, left: float, now: float | None = None) -> str:
    """The line: seconds of a step, the expected end, and what takes less time.

    >>> text(2.0, 1000, 3600.0, now=0.0).partition(": ")[2][:33]
    '2 s a step, the 1,000 steps end a'
    """
    end = datetime.fromtimestamp((time.time() if now is None else now) + min(left, 3e9)).strftime("%Y-%m-%d %H:%M")
    return (
        f"Training on a CPU: {seconds:.2g} s a step, the {steps:,} steps end about {end} (in {_span(left)}); "
        "--preset small trains a small network in hours"
    )


def _span(seconds: float) -> str:
    """A length of time in the largest unit that fits.

    >>> _span(5400), _span(864_000)
    ('1.5 hours', '10 days')
    """
    for unit, length in (("years", 31_557_600), ("days", 86_400), ("hours", 3600)):
        if seconds >= 1.5 * length or unit == "hours":
            return f"{seconds / length:.2g} {unit}"
    raise AssertionError
