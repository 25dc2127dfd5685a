"""Whether compiled kernels can be used: Numba's on a CPU (extra "fast"), Triton's on a GPU (comes with its torch).

They are chosen where they give what is asked for; without them everything works, slower.
"""

from __future__ import annotations

import functools
from importlib.util import find_spec

import torch


def numba_serves(device: torch.device) -> bool:
    """Loops compiled for a CPU."""
    return not torch.compiler.is_compiling() and device.type == "cpu" and _installed("numba")


def triton_serves(device: torch.device) -> bool:
    """Kernels compiled for a GPU."""
    return not torch.compiler.is_compiling() and device.type == "cuda" and _installed("triton")


@functools.cache
def _installed(package: str) -> bool:
    return find_spec(package) is not None
