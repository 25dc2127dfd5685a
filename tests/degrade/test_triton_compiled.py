"""Every kernel compiles for GPUs that need not be there, within what their processors have."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton is not installed")

from tests.triton_compiled import ARCHITECTURES, KERNELS

_SHARED = 99 * 1024
"""Bytes of shared memory that a program may have on consumer cards of these generations too."""


@pytest.mark.slow
def test_kernels_compile_for_gpus_without_spilling_registers() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-m", "tests.triton_compiled"]
    run = subprocess.run(command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-2000:]
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [(line["kernel"], line["arch"]) for line in lines] == [
        (name, arch) for _, name, *_ in KERNELS for arch in ARCHITECTURES
    ]
    for line in lines:
        assert line["ptx"] > 1000, line
        most = 8 if line["arch"] == 100 else 0  # two registers of `light`, once a thread
        assert line.get("stack", 0) <= most, f"registers spilt: {line}"
        assert line["shared"] <= _SHARED, line
