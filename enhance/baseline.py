"""Baseline: base class of classical enhancement methods, with the interface of the networks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from torch import Tensor

from degrade.settings import Setting, read_settings


class Baseline(ABC):
    """Base class of enhancement methods without weights; `enhance` is used like `EnhancementNetwork.enhance`.

    Args:
        options: values for entries of `settings_table`.
    """

    settings_table: ClassVar[dict[str, Setting]] = {}

    def __init__(self, **options: Any) -> None:
        self.settings = read_settings(self.settings_table, options)

    def enhance(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Enhances images of any height and width.

        Args:
            image: (B, C, H, W) floats in [0, 1], C = 1 or 3.
            mask: (B, 1, H, W), 1 inside the field of view; pixels outside become black.

        Returns:
            (B, C, H, W) in [0, 1], of the image's type.

        Raises:
            TypeError: the image is no float tensor.
            ValueError: a wrong shape.
        """
        kind = type(self).__name__
        if not image.is_floating_point():
            raise TypeError(f"{kind}.enhance: image must be a float tensor in [0, 1]; got {image.dtype}")
        if image.ndim != 4 or image.shape[1] not in (1, 3) or min(image.shape[-2:]) < 1:
            raise ValueError(f"{kind}.enhance: image must be (B, C, H, W), C = 1 or 3; got {tuple(image.shape)}")
        if mask is not None and mask.shape != (len(image), 1, *image.shape[-2:]):
            raise ValueError(
                f"{kind}.enhance: mask must be (B, 1, H, W) for images {tuple(image.shape)}; got {tuple(mask.shape)}"
            )
        exact = image if image.dtype == torch.float64 else image.float()
        field = torch.ones_like(exact[:, :1]) if mask is None else mask.to(exact)
        return (self._enhance(exact, field).clamp(0, 1) * field).to(image.dtype)

    def _number(self, name: str) -> float:
        return float(self.settings[name])  # type: ignore[arg-type]

    @abstractmethod
    def _enhance(self, image: Tensor, field: Tensor) -> Tensor:
        """Enhance float32 or float64 images; `field` (B, 1, H, W) is 1 inside the field of view."""
