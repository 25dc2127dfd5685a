"""The old name of `degrade.models.xray`, for one version."""

import warnings

from degrade.models.xray import PoissonGaussian, from_detector, noise_level_maps, standard_deviation_map, to_detector

__all__ = ["PoissonGaussian", "from_detector", "noise_level_maps", "standard_deviation_map", "to_detector"]

warnings.warn("degrade.xray is now degrade.models.xray; the old name goes in 0.4", DeprecationWarning, stacklevel=2)
