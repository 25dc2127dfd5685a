"""Color augmentation before the degradation: brightness, contrast and color of a sample, drawn from its key."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from degrade.rng import keyed

_GREY = (0.299, 0.587, 0.114)
"""Luma of ITU-R BT.601."""


@dataclass(frozen=True)
class Factors:
    """Factors drawn for one sample; 1 changes nothing."""

    brightness: float
    contrast: float
    color: float


@dataclass(frozen=True)
class Jitter:
    """Ranges of the factors: each is drawn uniformly from 1 - range to 1 + range.

    Attributes:
        brightness: of the factor of all levels.
        contrast: of the factor of the distance from the image's mean level within the field of view.
        color: of the factor of the distance from grey; grey images have none.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    color: float = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "color"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise ValueError(f"{name}_jitter = {value!r}: a number from 0 to 1")

    @property
    def is_none(self) -> bool:
        """Whether nothing is changed."""
        return self == Jitter()

    def draw(self, keys: Tensor) -> list[Factors]:
        """Draw the factors of each sample from keys, int64 (B,)."""
        ranges = {"brightness": self.brightness, "contrast": self.contrast, "color": self.color}
        drawn = keyed.uniforms(keys, {f"stream.{name}": 1 for name in ranges})
        factors = [1 + most * (2 * drawn[f"stream.{name}"][:, 0] - 1) for name, most in ranges.items()]
        return [Factors(*row) for row in torch.stack(factors, 1).tolist()]


def jittered(images: dict[str, Tensor], factors: Factors, others: Collection[str] = ()) -> dict[str, Tensor]:
    """Change the colors of a sample's image within its field of view; the result stays in [0, 1].

    Args:
        images: "image" (C, H, W), "mask" (1, H, W) and maps.
        factors: of the sample.
        others: names of maps to change in the same way, about the mean level of "image".
    """
    mask = images["mask"] > 0.5
    inside = mask.sum().clamp(min=1)
    level = (_grey(images["image"]) * mask).sum() / inside * factors.brightness
    changed = {name: torch.where(mask, _changed(images[name], level, factors), images[name]) for name in others}
    changed["image"] = torch.where(mask, _changed(images["image"], level, factors), images["image"])
    return {**images, **changed}


def _changed(image: Tensor, level: Tensor, factors: Factors) -> Tensor:
    image = (image * factors.brightness - level) * factors.contrast + level
    if image.shape[0] == 3:
        grey = _grey(image)
        image = grey + (image - grey) * factors.color
    return image.clamp(0, 1)


def _grey(image: Tensor) -> Tensor:
    if image.shape[0] == 1:
        return image
    weights = torch.tensor(_GREY, dtype=image.dtype, device=image.device)
    return (image * weights[:, None, None]).sum(0, keepdim=True)
