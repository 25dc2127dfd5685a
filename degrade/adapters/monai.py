"""A degradation as a MONAI dictionary transform."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

import numpy as np
import torch

from degrade.base import Degradation
from degrade.entry import sample_as_given
from degrade.recipes import recipe as open_recipe
from degrade.rng import keyed

try:
    from monai.transforms import MapTransform, RandomizableTransform
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("degrade.adapters.monai needs MONAI: pip install monai") from error

_BOUNDS = np.iinfo(np.int64)


class MonaiDegradation(RandomizableTransform, MapTransform):  # type: ignore[misc]
    """A degradation for dictionaries of channel-first images, alone and inside `monai.transforms.Compose`.

    Images (C, H, W), or (C, W, H) as MONAI's readers give them, are uint8, uint16 or floating point in [0, 1]; arrays,
    tensors and MetaTensors come back as they came, with their meta data. All images of a dictionary share one draw.
    Its key comes from the transform's random state (`set_random_state`), or from the dictionary's id.

    Args:
        keys: of the images in the dictionary.
        recipe: a `Degradation`, or what `degrade.recipe` takes: a name, TOML or its path.
        prob: the share of dictionaries that are degraded.
        id_key: where the dictionary has its id, a name or a whole number: the degradation is then that of
            `degrade.make_keys(seed, [id])`, whatever the random state. Only `prob` is still drawn from it.
        seed: see `id_key`.
        allow_missing_keys: leave out images that a dictionary lacks.
    """

    def __init__(
        self,
        keys: Hashable | Iterable[Hashable],
        recipe: Degradation | str | os.PathLike[str],
        prob: float = 1.0,
        id_key: Hashable | None = None,
        seed: int = 0,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        self.recipe = open_recipe(recipe)
        self.id_key = id_key
        self.seed = seed
        self._key = torch.zeros(1, dtype=torch.int64)

    def randomize(self, data: Mapping[Hashable, Any]) -> None:
        """Draw whether a dictionary is degraded, and its key."""
        super().randomize(None)
        self._key = torch.tensor([self.R.randint(_BOUNDS.min, _BOUNDS.max, dtype=np.int64)])
        if self.id_key is not None:
            self._key = keyed.make_keys(self.seed, [data[self.id_key]])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """The dictionary with its images degraded."""
        made = dict(data)
        self.randomize(made)
        if self._do_transform:
            for key in self.key_iterator(made):
                made[key], _ = sample_as_given(made[key], self.recipe, self._key, "CHW")
        return made
