"""The first call: processes that start together compile once between them, and it is said; `degrade warm-up`."""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import degrade
from cli.degrade import main
from degrade.jit import compiler, once

CODE = """
import time
import numpy as np
from degrade.jit import compiler

def slow(values):
    for i in range(len(values)):
        values[i] = values[i] * 3
    return np.sort(values).sum() + np.unique(values).sum()

kernel = compiler.kernel(slow)
while time.time() < START:
    pass
kernel(np.arange(3.0))
print(sum(kernel.stats.cache_misses.values()), sum(kernel.stats.cache_hits.values()))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEGRADE_CACHE_DIR", str(tmp_path / "kernels"))
    return tmp_path / "kernels"


@pytest.mark.slow
def test_processes_that_start_together_compile_once(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "kernels.py"  # a kernel is known by its module's name
    script.write_text(CODE.replace("START", repr(time.time() + 4)))
    command = [sys.executable, str(script)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    said = sorted(tuple(map(int, process.communicate(timeout=120)[0].split())) for process in started)
    assert said == [(0, 1), (0, 1), (1, 0)]  # misses and hits


def test_it_is_said_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    def double(values: np.ndarray) -> None:
        for i in range(len(values)):
            values[i] *= 2

    once._announce.cache_clear()
    with caplog.at_level(logging.INFO, logger="degrade"):
        for dtype in (np.float32, np.float64):
            compiler.kernel(double)(np.ones(2, dtype))
        compiler.kernel(double)(np.ones(2))  # from disk
    assert [record.message for record in caplog.records if "compiling loops for this CPU" in record.message] == [
        "compiling loops for this CPU, once for this machine: 10 to 30 s (degrade warm-up does it ahead)"
    ]


def test_a_kernel_within_a_kernel_does_not_wait_for_itself(folder: Path) -> None:
    def inner(x: float) -> float:
        return x + 1

    compiled = compiler.kernel(inner)

    def outer(values: np.ndarray) -> None:
        for i in range(len(values)):
            values[i] = compiled(values[i])

    values = np.ones(2)
    compiler.kernel(outer)(values)
    assert values.tolist() == [2, 2]


def test_a_folder_that_cannot_be_written_is_not_locked(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with once.compiling(tmp_path / "file/kernels"):
        assert not once.can_lock(tmp_path / "file/kernels")


def test_warm_up() -> None:
    assert degrade.backend.warm_up(["x-bdcnn", degrade.recipe("cofe-net")], gradients=True) > 0
    result = CliRunner().invoke(main, ["warm-up", "--recipe", "cofe-net"])
    assert result.exit_code == 0
    assert "cofe-net" in result.output
    result = CliRunner().invoke(main, ["warm-up", "--recipe", "cofenet"])
    assert result.exit_code == 2
    assert "did you mean cofe-net" in result.output
