"""The seam: overriding a backend, saying why, and going on without one that is broken."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import degrade
from cli.degrade import main
from degrade.backend import Operation, choose, run

CPU = torch.device("cpu")


def definition(x: float) -> float:
    return x


def twin(x: float) -> float:
    return -x


def twin_with_gradients(definition: Callable[[float], float], x: float) -> float:
    return 2 * definition(x)


def refuse(x: float) -> float:
    raise ValueError("x is wrong")


def missing_compiler(x: float) -> float:
    raise RuntimeError("Failed to find C compiler.\nPlease specify via CC")


def no_llvm(x: float) -> float:
    raise OSError("libLLVM.so: cannot open shared object file")


def compiled_wrongly(x: float) -> float:
    from numba.core.errors import TypingError

    raise TypingError("cannot type")


def operation(function: str, name: str = "cpu") -> Operation:
    return Operation("planted", **{name: f"tests.degrade.test_backend:{function}"})


def test_the_fastest_serves_and_can_be_overridden(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = operation("twin")
    assert run(planted, definition, (1.0,), CPU) == -1
    with degrade.backend("reference"):
        assert run(planted, definition, (1.0,), CPU) == 1
        with degrade.backend("cpu"):
            assert run(planted, definition, (1.0,), CPU) == -1
    monkeypatch.setenv("DEGRADE_BACKEND", "reference")
    assert run(planted, definition, (1.0,), CPU) == 1
    with degrade.backend("cpu"):
        assert run(planted, definition, (1.0,), CPU) == -1


def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="'numba': allowed is one of reference, cpu, gpu"), degrade.backend("numba"):
        pass
    monkeypatch.setenv("DEGRADE_BACKEND", "fast")
    with pytest.raises(ValueError, match="DEGRADE_BACKEND = 'fast': allowed is one of reference, cpu, gpu"):
        degrade.make_keys(0, 1)


def test_reasons() -> None:
    choice = choose(operation("twin"), CPU, gradients=True)
    assert choice.name == "reference"
    assert choice.reasons == {"cpu": "gradients are asked for", "gpu": "this operation has no such twin"}
    assert choose(operation("twin"), CPU, refuses=lambda name: "float64").reasons["cpu"] == "float64"


def test_a_twin_with_gradients_is_given_the_definition() -> None:
    planted = operation("twin")
    planted.cpu_gradient = "tests.degrade.test_backend:twin_with_gradients"
    assert choose(planted, CPU, gradients=True).name == "cpu"
    assert run(planted, definition, (1.0,), CPU, gradients=True) == 2
    assert run(planted, definition, (1.0,), CPU) == -1
    with degrade.backend("reference"):
        assert run(planted, definition, (1.0,), CPU, gradients=True) == 1


@pytest.mark.parametrize(
    ("function", "cause"),
    [
        ("missing_compiler", "RuntimeError: Failed to find C compiler."),
        ("no_llvm", "OSError: libLLVM.so: cannot open shared object file"),
        ("compiled_wrongly", "TypingError: cannot type"),
        ("not_there", "AttributeError"),
    ],
)
def test_a_broken_backend_is_left_out_after_one_warning(function: str, cause: str) -> None:
    planted = operation(function)
    sys.modules["degrade.backend"]._warn.cache_clear()
    with pytest.warns(RuntimeWarning, match=f"the backend 'cpu' cannot be used .{cause}"):
        assert run(planted, definition, (1.0,), CPU) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(planted, definition, (1.0,), CPU) == 1
    assert cause in choose(planted, CPU).reasons["cpu"]


def test_a_wrong_call_is_not_a_broken_backend() -> None:
    planted = operation("refuse")
    with pytest.raises(ValueError, match="x is wrong"):
        run(planted, definition, (1.0,), CPU)
    assert choose(planted, CPU).name == "cpu"


@pytest.mark.slow
def test_without_llvm_pictures_are_the_same(tmp_path: Path) -> None:
    """A library that cannot be loaded: the definition serves, with one warning that names the cause."""
    (tmp_path / "llvmlite").mkdir()
    (tmp_path / "llvmlite/__init__.py").write_text("raise OSError('libLLVM.so: cannot open')")
    code = """
import torch, degrade
image = torch.linspace(0, 1, 3 * 64 * 64).view(1, 3, 64, 64)
mask = torch.ones(1, 1, 64, 64)
for _ in range(2):
    degraded = degrade.recipe("cofe-net", exact=True)(image, degrade.make_keys(0, 1), mask)
print(float(degraded.double().mean()))
"""

    def mean(**environment: str) -> tuple[float, str]:
        command = [sys.executable, "-c", code]
        run = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
        return float(run.stdout), run.stderr

    right, quiet = mean()
    broken, said = mean(PYTHONPATH=str(tmp_path))
    assert abs(broken - right) < 1e-6
    assert "RuntimeWarning" not in quiet
    assert said.count("RuntimeWarning: the backend 'cpu' cannot be used") == 1
    assert "OSError: libLLVM.so: cannot open" in said


def test_the_command_says_why() -> None:
    result = CliRunner().invoke(main, ["recipes", "cofe-net", "--backend"])
    assert result.exit_code == 0
    assert "images on cpu\n  fundus: cpu\n    not gpu: the data is on cpu" in result.output
