"""What every loss asks of its arguments. Shapes only: looking at values would wait for the device."""

from __future__ import annotations

import torch
from torch import Tensor


def same_shape(**tensors: Tensor) -> None:
    """ValueError unless all have one shape: without it broadcasting would hide a mistake."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError("must have one shape: " + ", ".join(f"{name} is {shape}" for name, shape in shapes.items()))


def images(**tensors: Tensor) -> None:
    """ValueError unless all are images (B, C, H, W) of one shape."""
    same_shape(**tensors)
    for name, tensor in tensors.items():
        if tensor.ndim != 4:
            raise ValueError(f"{name} must be (B, C, H, W); its shape is {tuple(tensor.shape)}")


def same_length(**lists: object) -> None:
    """ValueError unless all are sequences of one length, not empty."""
    lengths = {name: len(values) for name, values in lists.items()}  # type: ignore[arg-type]
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        counted = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"must have one length, at least 1: {counted}")


def full(tensor: Tensor) -> Tensor:
    """float16 and bfloat16 as float32: squares, logarithms and long means need it. Others as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def autocast_off(tensor: Tensor) -> torch.autocast:
    """A context for convolutions that autocast would do in half precision: differences of local means need more."""
    return torch.autocast(tensor.device.type, enabled=False)
