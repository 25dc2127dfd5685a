"""Resizing, flipping and cropping: the same for an image, its maps and all its views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from degrade.images.image_io import resize
from degrade.ops.constants import SMALLEST_SIDE
from degrade.rng import keyed
from degrade.stream.numbers import whole


@dataclass(frozen=True)
class Placing:
    """Geometry drawn for one sample: side in pixels; corner of the window, 0 to 1 of where it can be; flips."""

    side: int | None
    top: float
    left: float
    vertical: bool
    horizontal: bool


@dataclass(frozen=True)
class Geometry:
    """Resizing, flipping and cropping of a sample's image and maps, drawn from its key, in this order.

    Args:
        size: the side of the square that the whole image is fitted into (see `degrade.images.image_io.resize`); a pair
            is drawn uniformly, both ends included; None leaves the size.
        crop: the side of a square window at a random place; None leaves the whole image.
        hflip, vflip: mirror left to right and top to bottom, each with probability 1/2.
    """

    size: int | tuple[int, int] | None = None
    crop: int | None = None
    hflip: bool = False
    vflip: bool = False

    def __post_init__(self) -> None:
        for name, value in (("size", _size(self.size)), ("crop", self.crop)):
            if value is not None and not isinstance(value, tuple):
                value = whole(name, value)
            object.__setattr__(self, name, value)
        for name in ("hflip", "vflip"):
            object.__setattr__(self, name, bool(getattr(self, name)))
        low, high = self.sides or (SMALLEST_SIDE, SMALLEST_SIDE)
        if not SMALLEST_SIDE <= low <= high:
            raise ValueError(f"size = {self.size}: a number of pixels from {SMALLEST_SIDE} on, or a pair of them")
        if self.crop is not None and self.crop < SMALLEST_SIDE:
            raise ValueError(f"crop = {self.crop}: at least {SMALLEST_SIDE} pixels")
        if self.crop and self.size and self.crop > low:
            raise ValueError(f"crop = {self.crop} pixels of images resized to size = {self.size}: at most {low}")

    @property
    def sides(self) -> tuple[int, int] | None:
        """The smallest and the largest side that images are resized to."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    def check(self, height: int, width: int) -> None:
        """Raises ValueError where an image of this size cannot be used."""
        least = self.crop or SMALLEST_SIDE
        if self.size is None and min(height, width) < least:
            raise ValueError(f"{width} x {height} pixels: at least {least} x {least} are needed")

    def draw(self, keys: Tensor) -> list[Placing]:
        """Draw the geometry of each sample from keys, int64 (B,), best on the CPU."""
        u = keyed.uniforms(keys, {"stream.size": 1, "stream.crop": 2, "stream.flip": 2})
        low, high = self.sides or (0, 0)
        return [
            Placing(
                side=low + int(size * (high - low + 1)) if self.sides else None,
                top=top,
                left=left,
                vertical=self.vflip and vertical < 0.5,
                horizontal=self.hflip and horizontal < 0.5,
            )
            for (size,), (top, left), (vertical, horizontal) in zip(
                *(rows.tolist() for rows in u.values()), strict=True
            )
        ]

    def resize(self, images: dict[str, Tensor], placing: Placing, binary: frozenset[str]) -> dict[str, Tensor]:
        """Resize float images (B, C, H, W) of one size; those named in `binary` hold 0 and 1 before and after."""
        side = placing.side
        if side is None or all(image.shape[-2:] == (side, side) for image in images.values()):
            return images
        fitted = {name: resize(image, side) for name, image in images.items()}
        return {name: (image > 0.5).to(image.dtype) if name in binary else image for name, image in fitted.items()}

    def flip(self, images: dict[str, Tensor], placing: Placing) -> dict[str, Tensor]:
        """Mirror whole images."""
        axes = [-2] * placing.vertical + [-1] * placing.horizontal
        return {name: image.flip(axes) for name, image in images.items()} if axes else images

    def window(self, images: dict[str, Tensor], placing: Placing) -> dict[str, Tensor]:
        """Crop images that have been mirrored: the window of the images as they were, mirrored."""
        if self.crop is None:
            return images
        height, width = next(iter(images.values())).shape[-2:]
        top, left = int(placing.top * (height - self.crop + 1)), int(placing.left * (width - self.crop + 1))
        top = height - self.crop - top if placing.vertical else top
        left = width - self.crop - left if placing.horizontal else left
        place = (..., slice(top, top + self.crop), slice(left, left + self.crop))
        return {name: image[place] for name, image in images.items()}


def _size(size: Any) -> Any:
    """A pair of sizes as a tuple of ints; anything else as it is."""
    try:
        low, high = size
    except (TypeError, ValueError):
        return size
    return whole("size", low), whole("size", high)
