"""The cases of the conformance suite: every pair of model stage, backend, channels, type, size, mask and batch."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

import degrade
from tests.faults.pairwise import pairwise

SIZES = ((32, 32), (33, 47), (61, 40), (35, 104))
DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
BATCHES = (0, 1, 5)


@dataclass(frozen=True)
class Case:
    """One combination; `stage` is one of the model's, or "all"."""

    recipe: str
    stage: str
    backend: str
    channels: int
    dtype: torch.dtype
    size: tuple[int, int]
    masked: bool
    batch: int

    def __str__(self) -> str:
        mask = "mask" if self.masked else "none"
        dtype = str(self.dtype).removeprefix("torch.")
        size = "x".join(map(str, self.size))
        return f"{self.recipe}-{self.stage}-{self.backend}-{self.channels}-{dtype}-{size}-{mask}-{self.batch}"


def stages_of(recipe: str) -> list[str]:
    d = degrade.recipe(recipe)
    return [*d.stages(d.draw(degrade.make_keys(0, 1), 64, 64)), "all"]


def cases() -> list[Case]:
    """At most 400, the same on every machine."""
    found = []
    for recipe in sorted(degrade.RECIPES):
        factors: dict[str, Any] = {
            "stage": stages_of(recipe),
            "backend": degrade.backend.names,
            "channels": (1, 3),
            "dtype": DTYPES,
            "size": SIZES,
            "masked": (False, True),
            "batch": BATCHES,
        }
        found += [Case(recipe, **row) for row in pairwise(factors, seed=0)]
    return found


@functools.lru_cache(maxsize=64)
def pictures(channels: int, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Five images (5, C, H, W) in float64, and masks that are not those of the images."""
    side = max(size)
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(5, 5), side)
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(1))
    image = (0.8 * image + 0.2 * noise)[:, :channels, : size[0], : size[1]]
    return image.double().contiguous(), mask[..., : size[0], : size[1]].contiguous()
