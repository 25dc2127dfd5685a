"""Noise functions of other kinds as functions of (image, keys): without keys, of NumPy arrays, of Pillow pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from degrade.testing.checks import NoiseFunction

TAKES = ("tensor", "numpy", "pil")
_WHITE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}


def adapted(
    function: Callable[..., Any],
    takes: Literal["tensor", "numpy", "pil"] = "tensor",
    *,
    keys: bool = True,
    device: str | torch.device = "cpu",
) -> NoiseFunction:
    """A noise function for the checks.

    Args:
        function: of an image, and of keys if `keys`.
        takes: "tensor", (B, C, H, W) in [0, 1]; "numpy", one image after the other, (H, W) or (H, W, C) float32 in [0,
            1]; or "pil", one 8-bit picture after the other, of mode L or RGB. It returns the same kind; arrays may be
            uint8 or uint16 instead.
        keys: whether it gets keys, (B,) int64 of tensors, else one int.
        device: of tensors; keys stay on the CPU.

    Raises:
        TypeError, ValueError: when called, a result of another kind or shape.

    >>> noisy = adapted(lambda picture: picture, "pil", keys=False)
    >>> noisy(torch.full((2, 1, 8, 8), 0.2), torch.zeros(2, dtype=torch.int64)).shape
    torch.Size([2, 1, 8, 8])
    """
    if takes not in TAKES:
        raise ValueError(f"takes = {takes!r}: allowed is {', '.join(TAKES)}")

    def of_tensors(image: Tensor, key: Tensor) -> Tensor:
        given = image.to(device)
        found = function(given, key) if keys else function(given)
        if not isinstance(found, Tensor):
            raise TypeError(f"it returned a {type(found).__name__}, not a tensor: see --takes")
        if found.shape != image.shape:
            raise ValueError(f"it returned {tuple(found.shape)} for images {tuple(image.shape)}")
        levels = {torch.uint8: 255.0, torch.uint16: 65535.0}
        return (found.double() / levels.get(found.dtype, 1.0)) if found.dtype in levels else found.to("cpu")

    def of_each(image: Tensor, key: Tensor) -> Tensor:
        rows = []
        for one, number in zip(image, key.tolist(), strict=True):
            given = _array(one) if takes == "numpy" else _picture(one)
            rows.append(_tensor(function(given, number) if keys else function(given), one))
        return torch.stack(rows)

    return of_tensors if takes == "tensor" else of_each


def _array(image: Tensor) -> Any:
    array = image.permute(1, 2, 0).contiguous().numpy().copy()
    return array[..., 0] if array.shape[2] == 1 else array


def _picture(image: Tensor) -> Any:
    from PIL import Image

    return Image.fromarray((_array(image) * 255).round().astype(np.uint8))


def _tensor(found: Any, image: Tensor) -> Tensor:
    """A result as (C, H, W) float64 in units of [0, 1]."""
    if not isinstance(found, np.ndarray) and not hasattr(found, "tobitmap"):
        raise TypeError(f"it returned a {type(found).__name__}, not an array or a picture")
    array = np.asarray(found)
    if array.dtype not in _WHITE and array.dtype.kind != "f":
        raise TypeError(f"it returned {array.dtype}: allowed is uint8, uint16 or floating point")
    array = array.astype("f8") / _WHITE.get(array.dtype, 1.0)
    array = array[..., None] if array.ndim == 2 else array
    result = torch.from_numpy(array).permute(2, 0, 1)
    if result.shape != image.shape:
        raise ValueError(f"it returned {tuple(array.shape)} for an image of {tuple(image.shape[1:])} pixels")
    return result
