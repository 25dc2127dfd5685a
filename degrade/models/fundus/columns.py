"""Where the Cofe-Net parameters are in a packed row, for kernels: derived from the table of parameters.

Parameters of spots begin at `SPOTS_AT` + (their number here) * N and have one or two numbers per spot.
"""

from __future__ import annotations

from degrade.models.fundus.table import PARAMETERS
from degrade.packing import columns

_COLUMNS = columns(PARAMETERS)


def _at(name: str) -> int:
    return _COLUMNS[name].start


def _items(name: str) -> int:
    return _COLUMNS[name].items


NOISE_KEY = _at("noise_key")
TYPE = _at("type")
BRIGHTNESS, CONTRAST, SATURATION = (_at(name) for name in ("brightness", "contrast", "saturation"))
HALO_COLOR, HALO_CENTER = _at("halo_color"), _at("halo_center")
HALO_INNER, HALO_OUTER = _at("halo_inner"), _at("halo_outer")
HALO_KERNEL, HALO_SIGMA, HALO_STRENGTH = _at("halo_kernel"), _at("halo_sigma"), _at("halo_strength")
HOLE_CENTER, HOLE_RADIUS = _at("hole_center"), _at("hole_radius")
HOLE_KERNEL, HOLE_SIGMA = _at("hole_kernel"), _at("hole_sigma")
HOLE_DEPTH, HOLE_SLOPE, HOLE_THRESHOLD = _at("hole_depth"), _at("hole_slope"), _at("hole_threshold")
BLUR_KERNEL, BLUR_SIGMA = _at("blur_kernel"), _at("blur_sigma")
NOISE = _at("noise")

SPOTS_AT = _at("spot_center")
SPOT_CENTER, SPOT_RADIUS, SPOT_HEIGHT = _items("spot_center"), _items("spot_radius"), _items("spot_height")
SPOT_KERNEL, SPOT_SIGMA = _items("spot_kernel"), _items("spot_sigma")
