"""Random numbers of named distributions from uniform words: pure functions, the randomness is the caller's."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def gaussian(first: Tensor, second: Tensor, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Two independent standard normals from two independent 32-bit words (Box and Muller, 1958).

    Args:
        first, second: int64 of one shape, uniform on [0, 2**32).
        dtype: float32 or float64.

    Returns:
        two tensors of that shape. The tail is cut at 6.8 (a chance of 1e-11): the words have no finer grain.

    >>> gaussian(torch.tensor([0]), torch.tensor([0]))[0]
    tensor([6.7637])
    """
    radius = (first.to(dtype) + 0.5).mul_(2.0**-32).log_().mul_(-2.0).clamp_min_(0.0).sqrt_()
    angle = second.to(dtype).mul_(2 * math.pi * 2.0**-32)
    return angle.cos() * radius, angle.sin_().mul_(radius)
