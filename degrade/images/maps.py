"""Masks and label maps of integers: black and white, grey, or refused; the one rule for what a level means.

An integer map (a field of view, vessels, nerves, lungs) says nothing about its scale. Data sets store black and white
as 0 and 1 (CHASE_DB1, STARE) or as 0 and 255, and anti-aliased or probability maps as grey; label maps number their
classes. Read by full scale, a mask of zeros and ones would be 1/255: black. The rule here is:

- values 0 and the full scale (255, or 65535 of 16 bits) only: black and white, as it is
- values 0 and 1 only, or 0 and 255 only where there are more than 8 bits: black and white, brought to full scale
- grey, as it is: at least `GREY_LEVELS` different levels, the brightest at least a quarter of the full scale; or with
  fewer levels a black-and-white map that was compressed (all levels within a sixteenth of black or of white, two or
  more of each) or anti-aliased (the levels between are only where black and white meet)
- anything else, such as 0, 1, 2, 3, or 0, 128, or 0, 1, 255: refused

Bool maps are black and white; floating-point maps are in [0, 1] already and are left alone. Images, as opposed to maps,
must not go through this: a dark photograph may well hold zeros and ones only.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from degrade.errors import ImageError

GREY_LEVELS = 16
"""A map with so many different levels, the brightest at least a quarter of the full scale, is grey."""

_BORDER_SHARE = 0.9
_CHUNK = 1 << 20
_FULL = {torch.uint8: 255, torch.uint16: 65535}


class MapKind(Enum):
    """What the values of a map mean.

    Attributes:
        FLOAT: floating point, in [0, 1] by itself.
        BLACK: all zero, whatever the scale is.
        ONES: black and white, below full scale: 0 and 1, or 0 and 255 in more than 8 bits.
        BINARY: black and white at full scale.
        GREY: grey at full scale.
    """

    FLOAT = "float"
    BLACK = "black"
    ONES = "ones"
    BINARY = "binary"
    GREY = "grey"


def map_kind(image: Tensor, name: str = "map") -> MapKind:
    """What the values of a map (C, H, W) mean, by the rule of this module.

    Args:
        image: bool, any integer type, or floating point; (C, H, W).
        name: what the error calls it, such as "vessels".

    Raises:
        ImageError: integers that are neither black and white nor clearly grey. The message names the map, its levels
            and what is expected.

    >>> map_kind(torch.tensor([[[0, 1], [1, 0]]], dtype=torch.uint8))
    <MapKind.ONES: 'ones'>
    >>> map_kind(torch.tensor([[[0, 1], [2, 3]]], dtype=torch.uint8), "vessels")
    Traceback (most recent call last):
    degrade.errors.ImageError: map 'vessels' has the levels 0, 1, 2, 3: neither black and white (0 and 1, or 0 and \
255) nor grey (16 levels or more, the brightest at least 64). Of labels, make one black-and-white map each
    """
    if image.is_floating_point():
        return MapKind.FLOAT
    if image.dtype == torch.bool:
        return MapKind.BINARY
    values = image.detach().cpu().numpy()
    top = int(values.max(initial=0))
    full = _FULL.get(image.dtype)
    if top == 0 and not values.any():
        return MapKind.BLACK
    if top in (1, 255, full) and bool(((values == 0) | (values == top)).all()):
        return MapKind.BINARY if top == (full or 255) else MapKind.ONES
    if full is None or not _is_grey(values, top, full):
        raise ImageError(f"map {name!r} has {_levels(values)}: {_expected(full)}")
    return MapKind.GREY


def full_scale(image: Tensor, name: str = "map") -> Tensor:
    """A map whose white is the full scale of its type: zeros and ones become 0 and 255, others stay as they are.

    Args:
        image: as of `map_kind`. It is not changed.
        name: what the error calls it.

    Returns:
        uint8 or uint16 of the same shape where `image` was of integers or bool, else `image` itself.

    Raises:
        ImageError: see `map_kind`.

    >>> full_scale(torch.tensor([[[0, 1]]], dtype=torch.uint8))
    tensor([[[  0, 255]]], dtype=torch.uint8)
    """
    return scaled(image, map_kind(image, name))


def scaled(image: Tensor, kind: MapKind) -> Tensor:
    """`full_scale` of a map whose kind is known."""
    if kind is MapKind.FLOAT or (image.dtype in _FULL and kind is not MapKind.ONES):
        return image
    if image.dtype == torch.uint16:
        return (image != 0).to(torch.int32).mul_(65535).to(torch.uint16)
    return (image != 0).to(torch.uint8).mul_(255)


def _is_grey(values: NDArray[Any], top: int, full: int) -> bool:
    near = full // 16
    if top >= full / 4 and _at_least(values, GREY_LEVELS, full):
        return True
    white, black = values >= full - near, values <= near
    between = ~(white | black)
    if between.any():
        return bool(white.any()) and _at_borders(between, white, black)
    return all(_at_least(values[side], 2, full) for side in (white, black))


def _at_least(values: NDArray[Any], count: int, full: int) -> bool:
    """Whether there are so many different levels."""
    seen = np.zeros(full + 1, dtype=bool)
    flat = values.reshape(-1)
    for start in range(0, flat.size, _CHUNK):  # an index of a whole image would take eight times its memory
        seen[flat[start : start + _CHUNK]] = True
        if seen.sum() >= count:
            return True
    return False


def _at_borders(between: NDArray[Any], white: NDArray[Any], black: NDArray[Any]) -> bool:
    """Whether what is neither black nor white lies, but for a tenth of it, beside a pixel of each: an edge's blend."""

    def beside(pixels: NDArray[Any]) -> NDArray[Any]:
        planes = torch.from_numpy(pixels.reshape(-1, 1, *pixels.shape[-2:])).to(torch.float32)
        found = functional.max_pool2d(planes, 3, stride=1, padding=1)
        return found.numpy().reshape(pixels.shape) > 0

    edge = between & beside(white) & beside(black)
    return bool(edge.sum() >= _BORDER_SHARE * between.sum())


def _levels(values: NDArray[Any]) -> str:
    found = np.unique(values).tolist()
    if len(found) > 8:
        return f"{len(found)} levels from {found[0]} to {found[-1]}"
    return f"the level{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"


def _expected(full: int | None) -> str:
    grey = "" if full is None else f" nor grey ({GREY_LEVELS} levels or more, the brightest at least {full // 4 + 1})"
    white = "0 and 1, or 0 and 255" if full in (None, 255) else "0 and 1, 0 and 255, or 0 and 65535"
    return (
        f"{'neither' if grey else 'not'} black and white ({white}){grey}. Of labels, make one black-and-white map each"
    )
