"""When a run will end: said once after its first steps, because the published lengths take a CPU weeks."""

from __future__ import annotations

import time
from datetime import datetime

STEPS = 20
"""Steps after which the end is estimated; the first is left out, in which kernels are compiled."""
SECONDS = 20.0
"""Seconds after the first step in which it is estimated if steps are slow."""
LONG = 1800.0
"""Remaining seconds from which, on a CPU, what takes less time is named."""


class Outlook:
    """Estimate the end of a run from its first steps.

    Args:
        step: number of steps done when the run begins or goes on.
        steps: of the whole run.
        slow: the run is on a CPU.
    """

    def __init__(self, step: int, steps: int, slow: bool) -> None:
        self._begin, self._steps, self._slow = step, steps, slow
        self._since: float | None = None
        self._said = False

    def line(self, step: int) -> str | None:
        """What to say after a step; None for nothing. It is said at most once, and not after the last step."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
            return None
        timed = step - self._begin - 1
        if self._said or step == self._steps or (timed + 1 < STEPS and now - self._since < SECONDS):
            return None
        self._said = True
        seconds = (now - self._since) / timed
        left = seconds * (self._steps - step)
        hint = "; --preset small trains a small network in hours" if self._slow and left > LONG else ""
        return f"{seconds:.2g} s a step, the {self._steps:,} steps end {end(left)}{hint}"


def end(left: float, now: float | None = None) -> str:
    """The expected end from the remaining seconds.

    >>> end(3600.0, now=0.0)[-11:]
    '(in 60 min)'
    """
    at = datetime.fromtimestamp((time.time() if now is None else now) + min(left, 3e9)).strftime("%Y-%m-%d %H:%M")
    return f"about {at} (in {_span(left)})"


def _span(seconds: float) -> str:
    """A length of time in the largest unit that fits.

    >>> _span(40), _span(5400), _span(864_000)
    ('40 s', '1.5 hours', '10 days')
    """
    for unit, length in (("years", 31_557_600), ("days", 86_400), ("hours", 3600), ("min", 60)):
        if seconds >= 1.5 * length:
            return f"{seconds / length:.2g} {unit}"
    return f"{seconds:.0f} s"
