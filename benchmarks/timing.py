"""Timing on machines that are never quiet: interleaved calls, medians with quartiles, ratios of one run."""

from __future__ import annotations

import ctypes
import gc
import statistics
import sys
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from degrade.memory import release

Key = TypeVar("Key", bound=Hashable)
Row = dict[str, Any]
"""A row of a table: column titles to numbers, texts, `Spread`s, or None for what is not measured."""


WARM, BLOCK = 0.15, 0.15  # seconds


@dataclass(frozen=True)
class Spread:
    """The median of several measurements, and the lower and upper quartile: half of all lie between these."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: list[float]) -> Spread:
        """
        >>> Spread.of([1.0, 2.0, 3.0, 4.0, 100.0])
        Spread(median=3.0, lower=2.0, upper=4.0)
        """
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, lower, upper)

    def __mul__(self, factor: float) -> Spread:
        return Spread(self.median * factor, self.lower * factor, self.upper * factor)

    def __str__(self) -> str:
        return f"{short(self.median)} ({short(self.lower)}..{short(self.upper)})"


def short(value: float) -> str:
    """Three digits, or the whole number where that has more.

    >>> short(0.012345), short(12345.6)
    ('0.0123', '12346')
    """
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def measure(
    functions: Mapping[Key, Callable[[], object]],
    rounds: int = 7,
    *,
    device: str = "cpu",
    before: Callable[[Key], object] | None = None,
    repeats: int = 20,
) -> dict[Key, Spread]:
    """Seconds of a call of each function: one of each in turn, `rounds` times, after one that does not count.

    On a CPU each is first called for `WARM` seconds that do not count, so that what ran before it in the turn, which
    has emptied the caches and left threads spinning, is not charged to it; then for `BLOCK` seconds, and the median of
    these calls counts. What takes longer is called once.

    Args:
        functions: what to time, by name.
        rounds: how often.
        device: "cuda" times with the GPU's events.
        before: called before each measurement with the function's name; takes no part in the time.
        repeats: on a GPU, the calls between two events, so that a queue of work is timed and not its beginning.
    """
    times: dict[Key, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            if before is not None:
                before(name)
            seconds = _on_gpu(function, repeats) if device == "cuda" else _on_cpu(function)
            if turn:
                times[name].append(seconds)
    return {name: Spread.of(values) for name, values in times.items()}


def _on_cpu(function: Callable[[], object]) -> float:
    warm = _calls(function, WARM)
    return warm[0] if warm[0] >= WARM + BLOCK else statistics.median(_calls(function, BLOCK))


def _calls(function: Callable[[], object], least: float) -> list[float]:
    """Seconds of as many calls as it takes until so many seconds have passed."""
    times: list[float] = []
    total = 0.0
    while total < least:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
        total += times[-1]
    return times


def _on_gpu(function: Callable[[], object], repeats: int) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize()
    start.record()
    for _ in range(repeats):
        function()
    end.record()
    torch.cuda.synchronize()
    return float(start.elapsed_time(end)) / 1e3 / repeats


def set_threads(count: int) -> None:
    """For torch, for what takes its number of threads from torch, and for OpenCV where it is installed."""
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)
        torch.zeros(1 << 20).add_(1)  # wakes them, which is no part of what is measured
    try:
        import cv2
    except ImportError:
        return
    cv2.setNumThreads(count)


def peak_extra_bytes(function: Callable[[], object]) -> int | None:
    """How far the process's memory rises during a call above what it was before; None where Linux does not tell."""
    clear = Path("/proc/self/clear_refs")
    function()  # what is allocated once (threads, code) is no part of it
    gc.collect()
    _give_back()
    try:
        clear.write_text("5")  # resets the high-water mark
    except OSError:
        return None
    before = _status("VmRSS")
    result = function()
    peak = _status("VmHWM")
    del result
    return max(peak - before, 0)


def _give_back() -> None:
    """Memory that was freed but kept for reuse would hide what the call needs."""
    release()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform.startswith("linux") else None
    if trim is not None:
        trim(0)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)
