"""What figures were measured on: the processor, its threads and load, the GPU, and everybody's versions."""

from __future__ import annotations

import datetime
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from benchmarks import peers

OWN = ("numpy", "numba", "triton", "pillow", "opencv-python-headless")


def machine() -> dict[str, Any]:
    """Facts for the head of the tables; "load" is the mean number of busy processes in the minute before."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {
        "processor": _processor(),
        "GPU": gpu,
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "date": datetime.date.today().isoformat(),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        **{name: _version(name) for name in OWN},
        **{name: peers.state(name) for name in peers.PEERS},
    }


def _processor() -> str:
    model, count = platform.processor() or platform.machine(), os.cpu_count()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        model, count = (names[0], len(names)) if names else (model, count)
    return f"{count} x {model}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
