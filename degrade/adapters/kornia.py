"""A degradation as a kornia augmentation."""

from __future__ import annotations

import os
from typing import Any

from kornia.augmentation import IntensityAugmentationBase2D
from torch import Tensor

from degrade.base import Degradation
from degrade.recipes import recipe as open_recipe
from degrade.rng import keyed


class KorniaDegradation(IntensityAugmentationBase2D):
    """A degradation that works alone and inside `kornia.augmentation.AugmentationSequential`.

    Keys come from torch's global generator, as kornia's own numbers do; what was drawn from them is in `_params`, with
    which a call is repeated to the bit. Field of view masks are estimated. Images must be in [0, 1] when they arrive:
    clamp after augmentations that leave it.

    Args:
        recipe: a `Degradation`, or what `degrade.recipe` takes: a name, TOML or its path.
        p: the share of samples that are degraded.
        same_on_batch: one draw, noise included, for all samples of a batch.
        keepdim: return (C, H, W) for (C, H, W).

    >>> import torch
    >>> augment = KorniaDegradation("cofe-net")
    >>> image = torch.rand(2, 3, 64, 64)
    >>> degraded = augment(image)
    >>> torch.equal(degraded, augment(image, params=augment._params))
    True
    """

    def __init__(
        self,
        recipe: Degradation | str | os.PathLike[str],
        p: float = 1.0,
        same_on_batch: bool = False,
        keepdim: bool = False,
    ) -> None:
        super().__init__(p=p, same_on_batch=same_on_batch, keepdim=keepdim)
        self.recipe = open_recipe(recipe)

    def generate_parameters(self, batch_shape: tuple[int, ...]) -> dict[str, Tensor]:
        """The parameters of the samples of a batch (B, C, H, W)."""
        batch, _, height, width = batch_shape
        keys = keyed.random_keys(1 if self.same_on_batch else batch)
        return self.recipe.draw(keys.expand(batch).to(self.device), height, width)

    def apply_transform(
        self, input: Tensor, params: dict[str, Tensor], flags: dict[str, Any], transform: Tensor | None = None
    ) -> Tensor:
        """Degrades (B, C, H, W) with given parameters."""
        names = self.recipe.parameter_table.names
        degraded: Tensor = self.recipe.apply(input, {name: params[name].to(input.device) for name in names})
        return degraded
