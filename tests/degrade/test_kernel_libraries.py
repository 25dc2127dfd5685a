"""Functions that kernels call: not machine code of their own, and yet of use to whoever else compiles them."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs Numba")
import numba
from llvmlite.ir.types import Type
from numba.core import event
from numba.core.compiler_machinery import PassManager
from numba.core.postproc import PostProcessor
from numba.core.registry import cpu_target
from numba.core.runtime.context import NRTContext
from numba.core.types import BaseFunction

from degrade.jit import compiler


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEGRADE_CACHE_DIR", str(tmp_path / "kernels"))


def sums(values: np.ndarray) -> float:
    """Calls functions that call others, each in a library of its own."""
    made = np.zeros((3, 2, len(values)), np.int16)
    for i in range(len(values)):
        made[1, 1, i] = values[i] ** 2
    return float(made.sum() + np.std(values))


def test_what_a_kernel_called_is_of_use_to_functions_of_others() -> None:
    values = np.array([3.0, 1.0, 8.0])
    wanted = sums(values)
    assert compiler.kernel(sums)(values) == pytest.approx(wanted)
    assert numba.njit(sums)(values) == pytest.approx(wanted)


def test_a_function_of_others_can_be_called_alone_afterwards() -> None:
    @numba.njit
    def theirs(x: float) -> np.ndarray:
        return np.full(2, x) * 2

    def ours(x: float) -> float:
        return theirs(x).sum()

    assert compiler.kernel(ours)(1.5) == 6
    assert theirs(1.5).tolist() == [3, 3]
    with pytest.raises(ZeroDivisionError):
        numba.njit(lambda x: 1 // int(theirs(x)[0]))(0.0)


@pytest.mark.parametrize("kind", [compiler.kernel, compiler.loop_kernel, compiler.strict_kernel])
def test_a_kernel_can_be_called_alone_and_by_kernels(kind: object) -> None:
    def add(values: np.ndarray, one: float) -> None:
        for i in range(len(values)):
            values[i] += one

    added = kind(add)  # type: ignore[operator]

    def add_twice(values: np.ndarray) -> np.ndarray:
        held = np.empty_like(values)
        for i in range(len(values)):
            held[i] = values[i]
        added(held, 1.0)
        added(held[1:], 1.0)
        return held

    twice = compiler.kernel(add_twice)
    for _ in range(2):
        assert twice(np.zeros(3)).tolist() == [1, 2, 2]
        values = np.zeros(3)
        added(values, 1.0)
        assert values.tolist() == [1, 1, 1]
    assert compiler.kernel(add_twice)(np.zeros(3)).tolist() == [1, 2, 2]  # from disk


def test_numba_is_afterwards_as_it_was() -> None:
    def state() -> list[object]:
        of_types = BaseFunction.get_call_type, PassManager._runPass, PostProcessor.run
        of_code = NRTContext.get_meminfos, Type.get_abi_size, event.start_event, event.end_event
        return [*of_types, *of_code, gc.get_threshold(), dict(cpu_target.target_context.cached_internal_func)]

    def powers(values: np.ndarray) -> float:
        return float((values**3).sum())

    compiler.kernel(powers)(np.arange(2))
    before = state()
    assert compiler.kernel(powers)(np.arange(3.0)) == 9
    assert state() == before


UNKNOWN = """
import torch

from degrade.jit import compiler

compiler._KNOWN = ()  # as where Numba is another version
import degrade

d, keys = degrade.recipe("x-bdcnn", eta=0.4, sigma=5.0), degrade.make_keys(0, 2)
image = torch.rand(2, 1, 40, 64)
with degrade.backend("cpu"):
    by_loops = d(image, keys)
assert degrade.backend.explain(d, image).startswith("poisson-gaussian: cpu"), degrade.backend.explain(d, image)
with degrade.backend("reference"):
    difference = (d(image, keys) - by_loops).abs().max()
assert difference < 1e-5, difference
"""


@pytest.mark.slow
def test_other_versions_of_numba_compile_in_their_own_way() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", UNKNOWN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
