"""The images that everything is timed on."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

import degrade

DRAWN = 4  # different ones in a batch: rendering takes longer than what is timed, and parameters differ anyway


def fundus(batch: int, size: int, device: str = "cpu") -> tuple[Tensor, Tensor, Tensor]:
    """Phantom fundus images (B, 3, size, size), their masks (B, 1, size, size), and a key for each (B,)."""
    image, mask = _drawn(size)
    rows = torch.arange(batch) % DRAWN
    return image[rows].to(device), mask[rows].to(device), degrade.make_keys(1, batch).to(device)


@functools.lru_cache(maxsize=8)
def _drawn(size: int) -> tuple[Tensor, Tensor]:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, DRAWN), size)
    return image, mask
