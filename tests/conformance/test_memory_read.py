"""Kernels read what has been written and nothing beyond: every recipe at sizes at which its grids end on a pixel."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

import degrade
from degrade import memory

SIDES = (33, 65, 97, 129, 161, 257)  # multiples of a grid's step, and one pixel


def unwritten(shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """As `memory.empty`, with NaN in it: what nobody writes shows."""
    made = memory.empty(shape, dtype)
    return made.fill_(float("nan")) if dtype.is_floating_point else made


def show_what_is_unwritten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces `memory.empty` in the modules that have it by `unwritten`."""
    for recipe in degrade.RECIPES:  # loads the modules
        call(recipe, random.Random(0), (32, 32), 1, masked=True, gradients=True)
    for name, module in list(sys.modules.items()):
        if name.startswith("degrade.") and vars(module).get("empty") is memory.empty and module is not memory:
            monkeypatch.setattr(module, "empty", unwritten)


def disks(size: tuple[int, int], rng: random.Random) -> Tensor:
    """Masks (2, 1, H, W): a disk each, which may be cut off, or be nowhere."""
    rows, columns = torch.arange(size[0])[:, None], torch.arange(size[1])
    masks = []
    for _ in range(2):
        y, x, radius = rng.randrange(size[0]), rng.randrange(size[1]), rng.randint(4, max(size))
        masks.append(((rows - y) ** 2 + (columns - x) ** 2 <= radius * radius).float())
    return torch.stack(masks)[:, None]


def call(
    recipe: str, rng: random.Random, size: tuple[int, int], channels: int, masked: bool, gradients: bool
) -> list[Tensor]:
    """The results of a call on the CPU: pictures, and derivatives where they are wanted."""
    soft = "-net" in recipe and rng.random() < 0.5
    d = degrade.recipe(recipe, softness=0.03) if soft else degrade.recipe(recipe)
    image = torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(1))
    mask = disks(size, rng) if masked else None
    with degrade.backend("cpu"):
        out, drawn = d.sample(image, degrade.make_keys(rng.randrange(1 << 20), 2), mask)
        if not gradients:
            return [out]
        leaves = {name: value.requires_grad_(value.is_floating_point()) for name, value in drawn.items()}
        again = d.apply(image.requires_grad_(), leaves, mask)
        again.square().sum().backward()
    slopes = [value.grad for value in (image, *leaves.values()) if value.grad is not None]
    return [out, again, *slopes]


def check(seed: int, count: int) -> int:
    """How many results of `count` calls were looked at; an error for one that is not finite."""
    rng, looked = random.Random(seed), 0
    for number in range(count):
        recipe = sorted(degrade.RECIPES)[number % len(degrade.RECIPES)]
        size = rng.choice(SIDES), rng.choice(SIDES)
        case = recipe, size, rng.choice((1, 3)), rng.random() < 0.5, rng.random() < 0.5
        results = call(case[0], rng, *case[1:])
        looked += len(results)
        assert all(torch.isfinite(result).all() for result in results), case
    return looked


def test_results_come_from_what_was_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that was found: the last row of a frame of 425 pixels was 0 times what lay behind the field's lines."""
    show_what_is_unwritten(monkeypatch)
    assert check(0, 28) >= 28


def test_what_is_unwritten_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: a result that nobody writes."""
    from degrade.models.poisson_gaussian import cpu

    show_what_is_unwritten(monkeypatch)
    monkeypatch.setattr(cpu, "share", lambda work, threads: None)
    out = call("x-bdcnn", random.Random(0), (33, 33), 1, masked=False, gradients=False)[0]
    assert out.isnan().all()


PLANTED = """
import numpy as np
from degrade.jit.compiler import inner_kernel, kernel

@inner_kernel
def read(numbers, at):
    return numbers[at]

@kernel
def behind(numbers):
    return read(numbers, len(numbers))
"""

CHECKED = """
import sys, warnings, tests.conformance.test_memory_read as test
import numpy as np
warnings.simplefilter("error", RuntimeWarning)  # a backend that fails at its first call is given up with a warning
sys.path.insert(0, sys.argv[1])
import planted
try:
    planted.behind(np.zeros(3, np.float32))
except IndexError:
    print("planted: found")
print("results:", test.check(1, 210))
"""


@pytest.mark.slow
def test_no_index_is_out_of_bounds(tmp_path: Path) -> None:
    """Numba's own checks, which are off where they are not asked for; with a planted kernel that they must find."""
    (tmp_path / "planted.py").write_text(PLANTED)
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", CHECKED, str(tmp_path)],
        capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2], timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "planted: found" in done.stdout
    assert int(done.stdout.split("results:")[1]) >= 210
