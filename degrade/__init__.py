"""Realistic bad medical images from good ones: batched, differentiable, keyed, on any device.

import degrade

d = degrade.recipe("cofe-net")
degraded, parameters = d.sample(images, degrade.make_keys(seed=0, ids=names))
"""

from degrade import fov, phantom, stream, xray
from degrade.base import Degradation, Parameters
from degrade.keyed import fold_in, make_keys
from degrade.recipes import RECIPES, recipe
from degrade.sequence import SeqLC
from degrade.version import __version__

__all__ = [
    "RECIPES",
    "Degradation",
    "Parameters",
    "SeqLC",
    "__version__",
    "fold_in",
    "fov",
    "make_keys",
    "phantom",
    "recipe",
    "stream",
    "xray",
]
