"""The host's side of the GPU's kernels on a device: nothing is mixed, launches get what lies there, and nothing waits.

Launches go to Triton's interpreter, on the memory that the device shares with the CPU.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

os.environ["TRITON_INTERPRET"] = "1"  # before Triton is imported; this file has a process of its own
pytest.importorskip("triton", reason="Triton is not installed")

import degrade
from degrade.fov.frame import of_mask
from degrade.models.fundus import gpu_fields, gpu_stages
from degrade.models.poisson_gaussian import gpu as gpu_noise
from tests.interpreter import enlarge_tiles
from tests.pretend import memory
from tests.pretend.memory import NAME
from tests.pretend.watch import watched

SIDE, BATCH = 64, 2
KERNELS: list[tuple[ModuleType, str]] = [
    *((gpu_fields, name) for name in ("_tables", "_blur_chords", "_blur_down")),
    *((gpu_stages, name) for name in ("sums", "light", "blur", "noise")),
    (gpu_noise, "noise_kernel"),
]


class Launches:
    """Stands for a kernel: notes each launch, and has it interpreted."""

    def __init__(self, kernel: Any, name: str, names: list[str]) -> None:
        self.kernel, self.name, self.names = kernel, name, names

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        def launch(*args: Any, **options: Any) -> None:
            assert all(isinstance(size, int) and size > 0 for size in grid), grid
            places = {arg.device.type for arg in args if isinstance(arg, Tensor)}
            assert len(places) == 1, f"pointers to {sorted(places)}"
            self.names.append(self.name)
            self.kernel[grid](*(memory.to_cpu(a) if memory.is_own(a) else a for a in args), **options)

        return launch


@pytest.fixture
def launched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    enlarge_tiles(monkeypatch)
    names: list[str] = []
    for module, name in KERNELS:
        monkeypatch.setattr(module, name, Launches(getattr(module, name), name, names))
    return names


def inputs(channels: int) -> tuple[Tensor, Tensor, Tensor]:
    keys = degrade.make_keys(0, BATCH)
    image, _, mask = degrade.phantom.fundus(keys, SIDE)
    return image[:, :channels].contiguous(), mask, keys


@pytest.mark.parametrize(
    ("name", "channels", "count"), [("cofe-net", 3, 9), ("cofe-net-paper", 3, 10), ("pce-net", 3, 9), ("x-bdcnn", 1, 1)]
)
def test_launches(name: str, channels: int, count: int, launched: list[str]) -> None:
    recipe = degrade.recipe(name)
    image, mask, keys = inputs(channels)
    frame = of_mask(mask) if recipe.settings.get("frame") == "fov" else None
    with degrade.backend("gpu"):
        plain, parameters = recipe.sample(image, keys, mask, frame)
        there = [image.to(NAME), mask.to(NAME)]
        recipe.apply(there[0], parameters, there[1], frame)
        launched.clear()
        with watched() as watch:
            degraded = recipe.sample(there[0], keys, there[1], frame)[0]
    assert len(launched) == count, launched
    assert not watch.waits, watch.waits
    assert len(watch.copies) == 1, watch.copies  # the packed parameters
    assert degraded.device.type == NAME
    assert torch.equal(degraded.cpu(), plain)


def test_a_planted_stray_is_caught(launched: list[str]) -> None:
    kernel = gpu_noise.noise_kernel
    with pytest.raises(AssertionError, match="pointers to \\['cpu', 'pretend'\\]"):
        kernel[(1,)](torch.zeros(4), torch.zeros(4, device=NAME))
    assert not launched
