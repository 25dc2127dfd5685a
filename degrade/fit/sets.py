"""Prepare two sets of images for a fit: squares of one size, and warnings about what they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from degrade import fov
from degrade.fit.describe import SIZE
from degrade.fit.simulate import Pictures
from degrade.images.image_io import to_float

FEWEST = 12
"""Images of each set that a fit needs at least."""
ENOUGH = 30
"""Poor images from which more help little: identifiable ends are then off by 7 % of their prior's width in the median,
by 9 % with 12 images and by 6 % with 60 (docs/fitting.md)."""
_LEAST_FIELD = 0.15  # share of the frame that a field of view has at least
_BLACK = 0.02


class SetError(ValueError):
    """A set that nothing can be fitted to, and what to do about it."""


def prepare(
    images: Iterable[Tensor], channels: int, size: int = SIZE, names: Sequence[str] = (), what: str = "images"
) -> tuple[Pictures, list[str]]:
    """Cut images to the squares around their fields of view, at one size, and leave out what shows nothing.

    Args:
        images: each (C, H, W), uint8, uint16 or float in [0, 1], of any size. Color images are made grey where
            `channels` is 1; grey ones are refused where it is 3.
        channels: 3 for fundus photographs, whose field of view is estimated; 1 for grey images, taken as they are.
        size: of the squares, pixels: a multiple of 32.
        names: one per image, for warnings.
        what: what the set is called in messages.

    Returns:
        the pictures, and warnings.

    Raises:
        SetError: fewer than `FEWEST` images are left.
    """
    kept: list[tuple[Tensor, Tensor, str]] = []
    warnings, sides = [], []
    left_out: dict[str, list[str]] = {}
    for number, image in enumerate(images):
        name = names[number] if names else str(number)
        square, mask, reason = _square(image, channels, size)
        if reason:
            left_out.setdefault(reason, []).append(name)
            continue
        sides.append(min(image.shape[-2:]))
        kept.append((square, mask, name))
    for reason, which in left_out.items():
        warnings.append(
            f"{len(which)} of the {what} left out: {reason} ({', '.join(which[:3])}{', ...'[: 5 * (len(which) > 3)]})"
        )
    if len(kept) < FEWEST:
        raise SetError(
            f"{len(kept)} usable {what}; at least {FEWEST} are needed, {3 * ENOUGH // 2} for numbers to rely on"
            + "".join(f"; {warning}" for warning in warnings)
        )
    if len(kept) - len(kept) // 3 < ENOUGH:  # a third is kept out of a fit
        warnings.append(f"{len(kept)} {what} are few: ranges are uncertain; {ENOUGH} or more after a third is kept out")
    small = sum(side < size for side in sides)
    if small:
        warnings.append(f"{small} of the {what} are smaller than {size} pixels: they lack the finest details")
    squares, masks, labels = zip(*kept, strict=True)
    return Pictures(torch.stack(squares), torch.stack(masks), tuple(labels)), warnings


def _square(image: Tensor, channels: int, size: int) -> tuple[Tensor, Tensor, str]:
    """A square and its mask, and why the image cannot be used, if so."""
    values = (image if image.is_floating_point() else to_float(image)).float()[None]
    nothing = values.new_zeros(channels, size, size)
    if values.shape[1] == 3 and channels == 1:
        values = values.mean(1, keepdim=True)
    if values.shape[1] != channels:
        return nothing, nothing[:1], "not a color image"
    if not values.isfinite().all():
        return nothing, nothing[:1], "pixels that are no numbers"
    if float(values.amax()) < _BLACK:
        return nothing, nothing[:1], "all black"
    if channels == 1:
        whole = torch.ones_like(values)
        square, mask, _ = fov.crop(_middle(values), _middle(whole), size)
    else:
        mask = fov.estimate(values)
        if float(mask.mean()) < _LEAST_FIELD:
            return nothing, nothing[:1], "no field of view"
        square, mask, _ = fov.crop(values, mask, size)
    return square[0].clamp(0, 1), mask[0], ""


def _middle(image: Tensor) -> Tensor:
    """The largest square in the middle."""
    height, width = image.shape[-2:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[..., top : top + side, left : left + side]
