"""Timing on machines that are never quiet: medians of interleaved calls, ratios of things measured in one run."""

from __future__ import annotations

import gc
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch


def medians(functions: Mapping[str, Callable[[], object]], rounds: int = 7) -> dict[str, float]:
    """Median seconds of each function; one call of each in turn, after a call of each that does not count."""
    times: dict[str, list[float]] = {name: [] for name in functions}
    for counted in range(-1, rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            if counted >= 0:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def peak_extra_bytes(function: Callable[[], object]) -> int | None:
    """How far the process's memory rises during a call above what it was before; None where Linux does not tell."""
    clear = Path("/proc/self/clear_refs")
    function()  # what is allocated once (threads, code) is no part of it
    gc.collect()
    try:
        clear.write_text("5")  # resets the high-water mark
    except OSError:
        return None
    before = _status("VmRSS")
    result = function()
    peak = _status("VmHWM")
    del result
    return max(peak - before, 0)


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(field)


def machine() -> str:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model = f"{len(names)} x {names[0]}" if names else model
    return f"{model}; Python {platform.python_version()}, torch {torch.__version__}, {torch.get_num_threads()} threads"
