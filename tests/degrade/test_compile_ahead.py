"""Kernels that are needed together are compiled ahead, each by one of the processes that share the work."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("numba", reason="needs Numba")
from numba import typeof

import degrade
from degrade.jit import ahead, once

KERNELS = """
import numpy as np
from degrade.jit.compiler import kernel

@kernel
def short(values):
    return np.unique(values).sum()

@kernel
def long(values):
    for i in range(len(values)):
        values[i] = values[i] * 3 if values[i] > 2 else values[i] - 1
    return np.sort(values).sum() + values.mean()
"""

SHARING = """
import time
from pathlib import Path
import numpy as np
from numba import typeof
import kernels_of_test as kernels
from degrade.jit import ahead

ahead.start_helper = lambda *about: None
own = Path("ready-NUMBER")
own.touch()
while len(list(Path(".").glob("ready-*"))) < 2:
    time.sleep(0.001)
types = (typeof(np.ones(3)),)
ahead.compile_all([(kernels.short, types), (kernels.long, types)])
print(kernels.short(np.ones(3)), kernels.long(np.ones(3)))
print(*(name for name in ("short", "long") if vars(kernels)[name]._cache_misses))
"""


@pytest.fixture
def kernels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A module with two kernels, which keep what is compiled in a new folder."""
    (tmp_path / "kernels_of_test.py").write_text(KERNELS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("DEGRADE_CACHE_DIR", str(tmp_path / "kernels"))
    yield importlib.import_module("kernels_of_test")
    del sys.modules["kernels_of_test"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders for which a helper would have been started; two cores."""
    folders: list[Path] = []
    monkeypatch.setattr(ahead, "_cores", lambda: 2)
    monkeypatch.setattr(ahead, "start_helper", lambda request, root: folders.append(root))
    return folders


def work(kernels: Any) -> list[ahead.Work]:
    types = (typeof(np.ones(3)),)
    return [(kernels.short, types), (kernels.long, types)]


def on_disk(tmp_path: Path) -> list[str]:
    return sorted(path.name.split("-")[0] for path in tmp_path.rglob("*.kernel"))


BOTH = ["kernels_of_test.long", "kernels_of_test.short"]


@pytest.mark.slow
def test_two_processes_compile_one_kernel_each(kernels: Any, tmp_path: Path) -> None:
    paths = os.pathsep.join((str(tmp_path), *sys.path))
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SHARING.replace("NUMBER", str(number))],
            stdout=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": paths},
        )
        for number in range(2)
    ]
    results, compiled = zip(*(process.communicate(timeout=120)[0].splitlines() for process in processes), strict=True)
    assert set(results) == {"1.0 0.0"}
    assert sorted(compiled) == ["long", "short"]
    assert on_disk(tmp_path) == BOTH


@pytest.mark.slow
def test_a_helper_compiles_for_the_process_that_started_it(kernels: Any, tmp_path: Path) -> None:
    request = pickle.dumps([(k.py_func.__module__, k.py_func.__name__, types) for k, types in work(kernels)])
    helper = ahead.start_helper(request, kernels.long.root)
    assert helper is not None
    assert helper.wait(timeout=120) == 0
    assert on_disk(tmp_path) == BOTH
    assert kernels.long(np.ones(3)) == 0
    assert sum(kernels.long.stats.cache_hits.values()) == 1


@pytest.mark.slow
def test_the_longest_kernel_comes_first(kernels: Any, started: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    usual = type(kernels.long).compile_ahead

    def watched(kernel: Any, types: Any, wait: bool) -> None:
        order.append(kernel.py_func.__name__)
        usual(kernel, types, wait)

    monkeypatch.setattr(type(kernels.long), "compile_ahead", watched)
    ahead.compile_all(work(kernels))
    assert order[:2] == ["long", "short"]
    assert len(started) == 1


@pytest.mark.slow
def test_a_helper_that_fails_leaves_the_work(kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(broken))
    monkeypatch.setattr(ahead, "_cores", lambda: 2)
    ahead.compile_all(work(kernels))
    assert on_disk(tmp_path) == BOTH


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs POSIX locks")
def test_a_helper_that_is_killed_leaves_its_kernel(
    kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = "import sys, time; from pathlib import Path; from degrade.jit.once import compiling\n"
    hold += "with compiling(Path(sys.argv[1])): print(flush=True); time.sleep(600)"

    def start(request: bytes, root: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", hold, str(kernels.short.lock)]
        helper = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert helper.stdout is not None
        helper.stdout.readline()  # it has begun with a kernel
        return helper

    killed: list[bool] = []
    usual = once._locked

    def locked(path: Path, wait: bool) -> int | None:
        if wait and path == kernels.short.lock:
            killed.append(True)
            helpers[0].send_signal(signal.SIGKILL)
        return usual(path, wait)

    helpers: list[subprocess.Popen[bytes]] = []
    monkeypatch.setattr(ahead, "_cores", lambda: 2)
    monkeypatch.setattr(ahead, "start_helper", lambda *about: helpers.append(start(*about)) or helpers[0])
    monkeypatch.setattr(once, "_locked", locked)
    ahead.compile_all(work(kernels))
    assert killed  # the other kernel was compiled first, and this one waited for
    assert on_disk(tmp_path) == BOTH


@pytest.mark.slow
def test_where_nothing_can_be_kept_no_helper_is_started(
    kernels: Any, started: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    for one in (kernels.short, kernels.long):
        monkeypatch.setattr(one._cache, "root", tmp_path / "file/kernels")
        monkeypatch.setattr(one._cache, "_folder", tmp_path / "file/kernels/0")
    ahead.compile_all(work(kernels))
    assert not started
    assert kernels.long(np.ones(3)) == 0
    assert on_disk(tmp_path) == []


@pytest.mark.parametrize(
    ("change", "count"),
    [
        (lambda patch, kernels: None, 1),
        (lambda patch, kernels: patch.setattr(ahead, "_cores", lambda: 1), 0),
        (lambda patch, kernels: patch.setattr(ahead, "_cores", lambda: 64), 1),
        (lambda patch, kernels: patch.setattr(sys, "executable", "/usr/bin/blender"), 0),
        (lambda patch, kernels: patch.setattr(sys, "executable", None), 0),
        (lambda patch, kernels: patch.setattr(sys, "frozen", True, raising=False), 0),
        (lambda patch, kernels: patch.setattr(multiprocessing, "parent_process", lambda: object()), 0),
        (lambda patch, kernels: patch.delattr(kernels, "short"), 0),
    ],
    ids=["two cores", "one core", "many", "embedded", "unknown", "frozen", "a worker", "not found by name"],
)
def test_helpers_are_started_where_they_are_of_use(
    kernels: Any,
    started: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch, Any], None],
    count: int,
) -> None:
    todo = work(kernels)
    change(monkeypatch, kernels)
    with ahead.with_helpers(todo):
        pass
    assert len(started) == count


def test_of_several_processes_one_has_helpers(kernels: Any, started: list[Path]) -> None:
    with ahead.with_helpers(work(kernels)), ahead.with_helpers(work(kernels)):
        assert len(started) == 1


def test_one_kernel_needs_no_helper(kernels: Any, started: list[Path]) -> None:
    with ahead.with_helpers(work(kernels)[:1]):
        assert not started


def test_kernels_are_collected_and_not_compiled(kernels: Any, tmp_path: Path) -> None:
    with ahead.collecting() as wanted:
        for one in (kernels.short, kernels.long, kernels.short):
            with pytest.raises(ahead.Postponed):
                one(np.ones(3))
    assert [kernel for kernel, _ in wanted] == [kernels.short, kernels.long]
    assert on_disk(tmp_path) == []


def test_the_first_kernel_of_a_call_brings_the_others(
    kernels: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[list[Any]] = []
    monkeypatch.setattr(ahead, "compile_all", lambda work: together.append([kernel for kernel, _ in work]))

    def ask() -> None:
        for one in (kernels.short, kernels.long):
            with pytest.raises(ahead.Postponed):
                one(np.ones(3))
        raise ValueError("what goes wrong here does not concern the call")

    with ahead.needing(ask):
        assert kernels.short(np.ones(3)) == 1
        assert kernels.short(np.ones(3, np.float32)) == 1
    assert together == [[kernels.short, kernels.long]]


def run(script: str, tmp_path: Path) -> None:
    environment = os.environ | {"DEGRADE_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_warm_up_asks_what_recipes_need(tmp_path: Path) -> None:
    script = """
import degrade
from degrade.backends import needed_kernels

kernels = {name: needed_kernels([degrade.recipe(name)]) for name in degrade.RECIPES}
needed = {name: {kernel.py_func.__name__ for kernel, _ in work} for name, work in kernels.items()}
assert {"_draw", "estimate_fields", "degrade_images"} <= needed["cofe-net"], needed
assert {"cloud_images"} <= needed["cataract"], needed
assert {"noisy_parts"} <= needed["x-bdcnn"], needed
"""
    run(script, tmp_path)
    assert on_disk(tmp_path) == []


@pytest.mark.slow
def test_the_first_call_of_a_recipe_has_a_helper_and_no_other_call(tmp_path: Path) -> None:
    script = """
import degrade, torch
from degrade.jit import ahead

asked, started = [], []
ahead._cores = lambda: 2
ahead.start_helper = lambda request, root: started.append(root)
usual = ahead.compile_all
ahead.compile_all = lambda work: [asked.append({kernel.py_func.__name__ for kernel, _ in work}), usual(work)]
d, keys = degrade.recipe("x-bdcnn"), degrade.make_keys(0, 2)
for _ in range(2):
    d(torch.rand(2, 1, 40, 50), keys)
assert len(asked) == len(started) == 1 and {"noisy_parts", "uniform_words"} <= asked[0], (asked, started)
"""
    run(script, tmp_path)


@pytest.mark.slow
def test_what_is_there_is_not_compiled_again(monkeypatch: pytest.MonkeyPatch, started: list[Path]) -> None:
    degrade.backend.warm_up(["x-bdcnn"])
    asked: list[Any] = []
    monkeypatch.setattr("degrade.backends.compile_all", asked.append)
    monkeypatch.setattr(ahead, "compile_all", asked.append)
    degrade.backend.warm_up(["x-bdcnn"])
    degrade.recipe("x-bdcnn")(torch.rand(2, 1, 40, 50), ["a", "b"])
    assert asked == [[]]
