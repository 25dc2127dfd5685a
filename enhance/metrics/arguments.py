"""Checks of the arguments of metrics, and conversions that several metrics begin with."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from degrade.ops.color import luma


def precise(tensor: Tensor) -> Tensor:
    """Convert to float64, or to float32 on devices without it (MPS)."""
    return tensor.to(torch.float32 if tensor.device.type == "mps" else torch.float64)


def check_image(name: str, image: Tensor, smallest: int = 1) -> None:
    """Raise unless `image` is a float tensor (B, 1 or 3, H, W) with sides of at least `smallest`."""
    if not image.is_floating_point():
        raise TypeError(
            f"{name} must be a float tensor in [0, 1], got {image.dtype}; degrade.images.image_io.to_float converts"
        )
    if image.ndim != 4 or image.shape[1] not in (1, 3) or min(image.shape[-2:]) < smallest:
        raise ValueError(
            f"{name} must be (B, C, H, W) with C = 1 or 3 and sides of at least {smallest}; got {tuple(image.shape)}"
        )


def check_pair(image: Tensor, reference: Tensor, smallest: int = 1) -> None:
    """Raise unless both are images as for `check_image`, with the same shape."""
    check_image("image", image, smallest)
    check_image("reference", reference, smallest)
    if image.shape != reference.shape:
        raise ValueError(
            f"image and reference must have one shape; got {tuple(image.shape)} and {tuple(reference.shape)}"
        )


def inside(mask: Tensor | None, image: Tensor) -> Tensor:
    """Field of view as (B, 1, H, W) bool: mask >= 0.5, or the whole frame without a mask."""
    shape = (len(image), 1, *image.shape[-2:])
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device=image.device)
    if mask.shape != shape:
        raise ValueError(f"mask must be (B, 1, H, W) for images {tuple(image.shape)}; got {tuple(mask.shape)}")
    return mask.to(image.device) >= 0.5


def deep_inside(field: Tensor, margin: int) -> Tensor:
    """Erode a field of view (B, 1, H, W) by `margin` pixels; the edge of the frame does not count as outside."""
    return F.max_pool2d((~field).float(), 2 * margin + 1, stride=1, padding=margin) == 0


def grey255(image: Tensor) -> Tensor:
    """(B, C, H, W) in [0, 1] -> (B, 1, H, W) in [0, 255]: grey, or the ITU-R 601 luma of RGB; not rounded."""
    return 255 * luma(precise(image))


def blocks(plane: Tensor, side: int) -> Tensor:
    """Split (B, 1, H, W) into complete square blocks (B, N, side, side), row by row; the rest is dropped."""
    batch, _, height, width = plane.shape
    rows, columns = height // side, width // side
    cut = plane[:, 0, : rows * side, : columns * side]
    return cut.reshape(batch, rows, side, columns, side).transpose(2, 3).reshape(batch, rows * columns, side, side)


def local_moments(plane: Tensor) -> tuple[Tensor, Tensor]:
    """Local mean and standard deviation of (B, 1, H, W): Gaussian of 7 x 7, sigma 7/6, edges replicated.

    The window that both NIQE and PIQE take.
    """
    lag = torch.arange(7, dtype=plane.dtype, device=plane.device) - 3
    taps = torch.exp(-0.5 * (lag / (7 / 6)) ** 2)
    taps = (taps / taps.sum()).view(1, 1, 1, 7)

    def mean(values: Tensor) -> Tensor:
        padded = F.pad(values, (3, 3, 3, 3), mode="replicate")
        return F.conv2d(F.conv2d(padded, taps), taps.transpose(-1, -2))

    center = mean(plane)
    return center, (mean(plane * plane) - center * center).abs().sqrt()
