"""Crop photographs to the square around their field of view, and put the squares back.

Convention: pixel edges are whole numbers. A box is (top, left, height, width) in pixels of the photograph. The square's
side is the longer of height and width, the box lies in its middle, and what the box leaves of it is black; where the
padding is odd, the bottom or the right has the pixel more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from degrade.fov.box import boxes

_INSIDE = 0.5


@dataclass(frozen=True)
class Crop:
    """Where the squares of a batch were cut from.

    Attributes:
        boxes: int64 (B, 4) on the CPU: top, left, height and width of each field of view, pixels.
        height, width: of the photographs, pixels.
    """

    boxes: Tensor
    height: int
    width: int


def crop(image: Tensor, mask: Tensor, size: int | None = None) -> tuple[Tensor, Tensor, Crop]:
    """Crop a batch to the bounding boxes of its fields of view, pad them to squares and resize these.

    Resampling is the mean over the area of each pixel when shrinking, and bilinear when enlarging. Differentiable in
    the image.

    Args:
        image: float (B, C, H, W).
        mask: float (B, 1, H, W); the field of view is where it is above 0.5. Where that is nowhere, the whole image is
            taken.
        size: side of the squares, pixels, at least 1; None keeps the side of each, which must then be one.

    Returns:
        image (B, C, size, size), mask (B, 1, size, size) of 0 and 1, and where they are from, for `uncrop`.

    Raises:
        TypeError: image or mask is not floating point.
        ValueError: shapes that do not belong together, or squares of several sizes without `size`.

    >>> image = torch.zeros(1, 3, 8, 12)
    >>> image[..., 2:6, 3:9] = 1
    >>> square, inside, where = crop(image, image[:, :1])
    >>> square.shape, inside.sum().item(), where.boxes.tolist()
    (torch.Size([1, 3, 6, 6]), 24.0, [[2, 3, 4, 6]])
    >>> torch.equal(uncrop(square, where), image)
    True
    """
    _check(image, mask)
    if size is not None and size < 1:
        raise ValueError(f"size = {size}: at least 1")
    found = boxes(mask).cpu()
    sides = sorted({max(box[2:]) for box in found.tolist()})
    if size is None and len(sides) > 1:
        raise ValueError(f"size = None with fields of view of {sides[0]} to {sides[-1]} pixels: give a size")
    squares = [cut(one, box, size) for one, box in zip(image, found.tolist(), strict=True)]
    inside = [
        (cut((one > _INSIDE).to(mask.dtype), box, size) > _INSIDE).to(mask.dtype)
        for one, box in zip(mask, found.tolist(), strict=True)
    ]
    return torch.stack(squares), torch.stack(inside), Crop(found, *image.shape[-2:])


def uncrop(image: Tensor, where: Crop, onto: Tensor | None = None) -> Tensor:
    """Put squares back to where `crop` has cut them from, at the size of the photographs.

    Args:
        image: float (B, C, S, S).
        where: from `crop`.
        onto: float (B, C, H, W), what is shown outside the boxes; None is black. It is not changed.

    Returns:
        (B, C, H, W). Without resizing in between it is the photograph to the bit, within the boxes.

    Raises:
        ValueError: another number of images, no squares, or `onto` of another shape.
    """
    batch, channels, rows, columns = image.shape
    if rows != columns or batch != len(where.boxes):
        raise ValueError(f"image must be ({len(where.boxes)}, C, S, S); got shape {tuple(image.shape)}")
    shape = (batch, channels, where.height, where.width)
    if onto is not None and tuple(onto.shape) != shape:
        raise ValueError(f"onto must be {shape}; got shape {tuple(onto.shape)}")
    full = image.new_zeros(shape) if onto is None else onto.to(image).clone()
    for one, target, (top, left, height, width) in zip(image, full, where.boxes.tolist(), strict=True):
        side = max(height, width)
        above, before = (side - height) // 2, (side - width) // 2
        square = _resized(one, side)
        target[:, top : top + height, left : left + width] = square[:, above : above + height, before : before + width]
    return full


def cut(image: Tensor, box: tuple[int, int, int, int] | list[int], size: int | None = None) -> Tensor:
    """The square around a box of one image (C, H, W), black beyond the box, resized to `size` if that is given."""
    top, left, height, width = box
    side = max(height, width)
    above, before = (side - height) // 2, (side - width) // 2
    inner = image[:, top : top + height, left : left + width]
    square = functional.pad(inner, (before, side - width - before, above, side - height - above))
    return square if size is None else _resized(square, size)


def _resized(square: Tensor, size: int) -> Tensor:
    """(C, S, S) -> (C, size, size)."""
    side = square.shape[-1]
    if side == size:
        return square
    if side > size:
        resized = _shrunk(_shrunk(square, size).transpose(1, 2), size).transpose(1, 2)
    else:
        resized = functional.interpolate(square[None], (size, size), mode="bilinear", align_corners=False)[0]
    with torch.no_grad():  # means lie between what they are of, but for the rounding
        beyond = resized.clamp(*square.aminmax()) - resized
    return resized + beyond


def _shrunk(image: Tensor, size: int) -> Tensor:
    """The last dimension as `size` means over stretches of equal length; fractions of a pixel count as such."""
    side = image.shape[-1]
    scale = side / size
    start = torch.arange(size, dtype=torch.float64) * scale
    places = start.floor().long()[:, None] + torch.arange(math.ceil(scale) + 1)
    covered = torch.minimum(places + 1, (start + scale)[:, None]) - torch.maximum(places, start[:, None])
    weights = covered.clamp(min=0) / scale
    weights = weights / weights.sum(1, keepdim=True)
    taken = image[..., places.clamp(max=side - 1).to(image.device)]
    return (taken * weights.to(image)).sum(-1)


def _check(image: Tensor, mask: Tensor) -> None:
    for name, value in (("image", image), ("mask", mask)):
        if not value.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {value.dtype}")
    if image.ndim != 4 or 0 in image.shape or mask.shape != (image.shape[0], 1, *image.shape[-2:]):
        raise ValueError(
            f"image must be (B, C, H, W) and mask (B, 1, H, W); got {tuple(image.shape)} and {tuple(mask.shape)}"
        )
