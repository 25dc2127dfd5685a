"""Realistic bad medical images from good ones: batched, differentiable, keyed, on any device.

import degrade

degraded = degrade.degrade(picture, "cofe-net", seed=0, id="left/01")  # Pillow, NumPy or a tensor: as it came
d = degrade.recipe("cofe-net")
degraded, parameters = d.sample(images, degrade.make_keys(seed=0, ids=names))
"""

from importlib import import_module
from typing import Any

from degrade import fov, models, phantom, stream
from degrade.backends import backend
from degrade.base import Degradation
from degrade.entry import degrade
from degrade.learnable_recipe import learnable
from degrade.parameters import Parameters
from degrade.pictures import show
from degrade.recipes import RECIPES, recipe
from degrade.rng.keyed import fold_in, make_keys
from degrade.sequence import SeqLC
from degrade.version import __version__

__all__ = [
    "RECIPES",
    "Degradation",
    "Parameters",
    "SeqLC",
    "__version__",
    "backend",
    "degrade",
    "fold_in",
    "fov",
    "learnable",
    "make_keys",
    "models",
    "phantom",
    "recipe",
    "show",
    "stream",
]


def __getattr__(name: str) -> Any:
    if name in ("image_io", "xray"):  # old names, which warn
        return import_module(f"degrade.{name}")
    raise AttributeError(f"module 'degrade' has no attribute {name!r}")
