"""A degradation as a TorchIO transform."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.entry import sample_as_given
from degrade.recipes import recipe as open_recipe
from degrade.rng import keyed

if TYPE_CHECKING:
    from torchio import Subject

try:
    from torchio.transforms import IntensityTransform
    from torchio.transforms.augmentation import RandomTransform
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("degrade.adapters.torchio needs TorchIO: pip install torchio") from error


class TorchioDegradation(RandomTransform, IntensityTransform):  # type: ignore[misc]
    """A degradation of the scalar images of a subject, alone and inside `torchio.Compose`; label maps pass through.

    Images (C, W, H, D), C = 1 or 3, are uint8, uint16 or floating point in [0, 1] and come back as they came; D is 1
    for photographs, and each slice of a volume has its own draw. All images of a subject share the draws. The key
    comes from torch's global generator, as TorchIO's numbers do, and is written into the subject's history.

    Args:
        recipe: a `Degradation`, or what `degrade.recipe` takes: a name, TOML or its path.
        arguments: of `torchio.Transform`: p, include, exclude, keep, ...
    """

    def __init__(self, recipe: Degradation | str | os.PathLike[str], **arguments: Any) -> None:
        super().__init__(**arguments)
        self.recipe = recipe
        open_recipe(recipe)

    def apply_transform(self, subject: Subject) -> Subject:
        """Draw a key and degrade with it."""
        key = int(keyed.random_keys(1))
        degraded: Subject = KeyedTorchioDegradation(self.recipe, key, **self._get_base_args())(subject)
        return degraded


class KeyedTorchioDegradation(IntensityTransform):  # type: ignore[misc]
    """As `TorchioDegradation`, with a given key: what a subject's history has, which repeats a call to the bit.

    Args:
        recipe, arguments: see there.
        key: of the first slice, such as `int(degrade.make_keys(seed, [id]))`; slice k has its view k.
    """

    def __init__(self, recipe: Degradation | str | os.PathLike[str], key: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.recipe, self.key = recipe, key
        self.args_names = ["recipe", "key"]

    def apply_transform(self, subject: Subject) -> Subject:
        """Degrade every scalar image."""
        recipe = open_recipe(self.recipe)
        for image in self.get_images_dict(subject).values():
            slices: Tensor = image.data.permute(3, 0, 2, 1)  # (D, C, H, W)
            keys = keyed.view_keys(torch.tensor([self.key]), torch.arange(len(slices)))
            image.set_data(sample_as_given(slices, recipe, keys, "BCHW")[0].permute(1, 3, 2, 0))
        return subject
