"""X-ray images: Poisson-Gaussian noise, noise level maps, and detector units."""

from degrade.models.xray.model import (
    PoissonGaussian,
    from_detector,
    noise_level_maps,
    released_level_maps,
    standard_deviation_map,
    to_detector,
)

__all__ = [
    "PoissonGaussian",
    "from_detector",
    "noise_level_maps",
    "released_level_maps",
    "standard_deviation_map",
    "to_detector",
]
