"""Checks of the arguments of losses. Shapes only: a check of values would wait for the GPU."""

from __future__ import annotations

import torch
from torch import Tensor


def check_same_shape(**tensors: Tensor) -> None:
    """Raise ValueError unless all tensors have the same shape: broadcasting would hide the mistake."""
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError("must have one shape: " + ", ".join(f"{name} is {shape}" for name, shape in shapes.items()))


def check_images(**tensors: Tensor) -> None:
    """Raise ValueError unless all tensors are images (B, C, H, W) of the same shape."""
    check_same_shape(**tensors)
    for name, tensor in tensors.items():
        if tensor.ndim != 4:
            raise ValueError(f"{name} must be (B, C, H, W); its shape is {tuple(tensor.shape)}")


def check_same_length(**lists: object) -> None:
    """Raise ValueError unless all are sequences of the same length, at least 1."""
    lengths = {name: len(values) for name, values in lists.items()}  # type: ignore[arg-type]
    if len(set(lengths.values())) > 1 or not all(lengths.values()):
        counted = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise ValueError(f"must have one length, at least 1: {counted}")


def at_least_float32(tensor: Tensor) -> Tensor:
    """Convert float16 and bfloat16, too coarse for squares, logarithms and long means, to float32; others are kept."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def autocast_off(tensor: Tensor) -> torch.autocast:
    """Context that switches autocast off, for convolutions whose small differences half precision would lose."""
    return torch.autocast(tensor.device.type, enabled=False)
