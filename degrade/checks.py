"""Checks of the images, masks and frames that a degradation takes."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from degrade.isolation import check_storage
from degrade.ops.constants import SMALLEST_SIDE

Given = TypeVar("Given", Tensor, Tensor | None)

_LARGEST_FRAME = 8  # times the longer side of the image


def check_image(kind: str, image: Tensor, channels: tuple[int, ...], mask: Tensor | None) -> None:
    """TypeError or ValueError for images that are not float (B, C, H, W), and for masks that do not belong to them.

    Args:
        kind: who takes them.
        image: what was given.
        channels: the C that are allowed.
        mask: (B, 1, H, W), or None.
    """
    if not isinstance(image, Tensor) or not image.is_floating_point():
        got = image.dtype if isinstance(image, Tensor) else type(image).__name__
        raise TypeError(f"{kind} takes a float tensor in [0, 1], got {got}; degrade.degrade takes images of any kind")
    check_storage(image)
    if image.ndim != 4 or image.shape[1] not in channels or min(image.shape[-2:]) < SMALLEST_SIDE:
        raise ValueError(
            f"{kind} takes images (B, C, H, W) with C in {channels}, H and W at least {SMALLEST_SIDE}; "
            f"got shape {tuple(image.shape)}"
        )
    if mask is not None and mask.shape != (image.shape[0], 1, *image.shape[-2:]):
        raise ValueError(f"mask must be (B, 1, H, W) for images {tuple(image.shape)}; got {tuple(mask.shape)}")


def plain(image: Given) -> Given:
    """The same tensor without its subclass, whose own rules for indexing and stacking are not those of tensors."""
    return image.as_subclass(Tensor) if isinstance(image, Tensor) and type(image) is not Tensor else image


def check_frame(frame: Tensor, image: Tensor) -> None:
    """ValueError for frames that are no whole numbers (B, 4), of wrong sizes, or beside their image (B, C, H, W)."""
    if frame.shape != (image.shape[0], 4) or frame.is_floating_point() or frame.is_complex():
        raise ValueError(
            f"frame must be whole numbers (B, 4), left, top, width, height; got {frame.dtype} of shape "
            f"{tuple(frame.shape)}"
        )
    place, most = frame.cpu(), _LARGEST_FRAME * max(image.shape[-2:])  # on a GPU it is read later anyway
    fits = (place[:, 2:] >= SMALLEST_SIDE) & (place[:, 2:] <= most) & (place[:, :2].abs() <= most)
    if not bool(fits.all()):
        raise ValueError(
            f"frame must have width and height from {SMALLEST_SIDE} to {most} pixels and begin within {most} of "
            f"the image's corner; it holds {place.tolist()[:4]}"
        )
    height, width = image.shape[-2:]
    ends = place[:, :2] + place[:, 2:]
    beside = (ends <= 0).any(1) | (place[:, 0] >= width) | (place[:, 1] >= height)
    if bool(beside.any()):
        raise ValueError(
            f"frame must have pixels of the image of {width} x {height}; {place[beside].tolist()[:4]} have none"
        )


def check_values(image: Tensor) -> None:
    """ValueError for NaN, and for values outside [0, 1]."""
    if not image.numel() or _surely_fits(image):
        return
    low, high = (float(end) for end in torch.aminmax(image))
    if not (low >= 0 and high <= 1):  # false for NaN as well
        raise ValueError(f"image must lie in [0, 1] and be finite; it spans [{low:g}, {high:g}]")


def _surely_fits(image: Tensor) -> bool:
    """Whether no value can be outside [0, 1]: one look at the bits, on a CPU. False need not mean that one is."""
    if image.device.type != "cpu" or image.dtype not in _BITS:
        return False
    bits, one = _BITS[image.dtype]
    return bool(image.numpy().view(bits).max() <= one)


# as whole numbers the bits of positive floats are in the floats' order, and NaN and all negative ones come after 1
_BITS: dict[torch.dtype, tuple[Any, Any]] = {
    torch.float32: (np.uint32, np.float32(1).view(np.uint32)),
    torch.float64: (np.uint64, np.float64(1).view(np.uint64)),
}
