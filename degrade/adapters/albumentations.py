"""A degradation as an albumentations transform."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from degrade.base import Degradation
from degrade.entry import sample_as_given
from degrade.recipes import recipe as open_recipe
from degrade.rng.streams import signed

try:
    from albumentations.core.transforms_interface import ImageOnlyTransform
except ModuleNotFoundError as error:
    message = "degrade.adapters.albumentations needs albumentations: pip install albumentations"
    raise ModuleNotFoundError(message) from error


class AlbumentationsDegradation(ImageOnlyTransform):  # type: ignore[misc]
    """A degradation that works alone and inside `albumentations.Compose`; masks, boxes and key points pass through.

    Images (H, W), (H, W, 1) or (H, W, 3) are uint8, or floating point in [0, 1], and come back as they came. Keys come
    from albumentations' own generators, so that `Compose(..., seed=0)` repeats them and `ReplayCompose` a call.

    Args:
        recipe: a `Degradation`, or what `degrade.recipe` takes: a name, TOML or its path. Names and TOML are
            serialized by `albumentations.save`.
        p: the share of images that are degraded.
    """

    def __init__(self, recipe: Degradation | str | os.PathLike[str], p: float = 1.0) -> None:
        super().__init__(p=p)
        self.recipe = recipe
        self._degradation = open_recipe(recipe)

    def get_params(self) -> dict[str, Any]:
        """The key of a call."""
        return {"degrade_key": signed(self.py_random.getrandbits(64))}

    def apply(self, img: NDArray[Any], degrade_key: int = 0, **params: Any) -> NDArray[Any]:
        """Degrade one image with a given key."""
        layout = "HW" if img.ndim == 2 else "HWC"
        made: NDArray[np.generic]
        made, _ = sample_as_given(img, self._degradation, torch.tensor([degrade_key]), layout)
        return made

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """What albumentations serializes."""
        return ("recipe",)
