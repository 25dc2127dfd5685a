"""Numbers as tensors on a device, copied there once: a copy in every call makes a GPU wait, and stops CUDA graphs."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor


@functools.lru_cache(maxsize=256)
def constant(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """A number, or nested tuples of numbers, as a tensor that is kept and must never be changed.

    >>> constant((1.0, 2.0), torch.float64, torch.device("cpu")).tolist()
    [1.0, 2.0]
    """
    with torch.inference_mode(False):  # the next caller may want gradients
        return torch.tensor(values, dtype=dtype, device=device)
