"""Arithmetic written once for NumPy's arrays and for tensors.

An operation on a few numbers costs NumPy less than half of what it costs torch. Both round additions, products,
quotients and square roots of float64 alike, so that the bits of a result do not tell which it was.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from degrade.functional.constant import constant

Array = Any
"""A NumPy array, or a tensor. Everything that is worked on together is one or the other."""


def module_of(array: Array) -> Any:
    """The module whose functions take this array: NumPy or torch, used as far as their names and meanings agree.

    >>> module_of(np.zeros(3)).__name__, module_of(torch.zeros(3)).__name__
    ('numpy', 'torch')
    """
    return torch if isinstance(array, Tensor) else np


def table(values: Any, like: Array) -> Array:
    """Numbers, nested in tuples, as float64 beside `like`; not to be changed.

    >>> table((1, 2), torch.zeros(3))
    tensor([1., 2.], dtype=torch.float64)
    """
    if isinstance(like, Tensor):
        return constant(values, torch.float64, like.device)
    return np.array(values, np.float64)


def to_tensor(array: Array, dtype: torch.dtype) -> Tensor:
    """As a contiguous tensor of `dtype`, torch.float32 or torch.int64, on the CPU or where the tensor is."""
    if isinstance(array, Tensor):
        return array.to(dtype)
    return torch.from_numpy(np.ascontiguousarray(array, np.float32 if dtype == torch.float32 else np.int64))
