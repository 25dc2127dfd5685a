"""The tests in tests/pretend, each file in a process of its own: their device changes PyTorch for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path.name for path in (ROOT / "tests" / "pretend").glob("test_*.py"))


@pytest.mark.parametrize("file", [pytest.param(f, marks=[pytest.mark.slow] * (f != "test_device.py")) for f in FILES])
def test_on_the_pretend_device(file: str) -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        f"tests/pretend/{file}",
    ]
    environment = {**os.environ, "DEGRADE_PRETEND": "1"}
    environment.pop("PYTEST_XDIST_WORKER", None)
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr[-2000:]
    assert " passed" in ended.stdout or "[100%]" in ended.stdout
