"""One call of a model, as its definition and its compiled twins get it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.packing import Packed
from degrade.parameters import Parameters
from degrade.settings import Value

Array = NDArray[Any]


@dataclass(frozen=True)
class Call:
    """One call of a model, as its definition and its compiled twins get it.

    Args:
        image: (B, C, H, W) float in [0, 1]; float32 or float64 for the definition.
        parameters: (B, ...) each, on the image's device.
        packed: the same as one table; None while torch.compile traces.
        mask: (B, 1, H, W) float32 or float64; None for models without a field of view.
        largest: gives at least the largest value of each kernel's size in the batch, which decides the shapes of the
            work.
        settings: of the recipe.
        frame: (B, 4) int64, left, top, width and height in pixels of the rectangle that lengths and points refer to,
            outside of which is black, on the image's device or the CPU; "fov" for that around each mask, None for the
            whole image.
    """

    image: Tensor
    parameters: Parameters
    packed: Packed | None
    mask: Tensor | None
    largest: Callable[[], Mapping[str, float]]
    settings: Mapping[str, Value]
    frame: Tensor | Literal["fov"] | None = None

    def arrays(self) -> tuple[Array, Array, Array]:
        """Image (B, C, H, W), mask (B, 1, H, W) and packed parameters (B, columns) for loops: float32, C-contiguous.

        The mask is empty for models without a field of view.
        """
        assert self.packed is not None
        image = self.image.detach().to(torch.float32).contiguous()
        mask = image.new_empty(0) if self.mask is None else self.mask.detach().to(torch.float32).contiguous()
        return image.numpy(), mask.numpy(), self.packed.rows.numpy()
