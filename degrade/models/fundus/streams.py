"""The streams of uniform numbers that the Cofe-Net parameters are drawn from, for the definition and its twin."""

from __future__ import annotations

from collections.abc import Mapping

from degrade.models.fundus.constants import TYPES
from degrade.models.fundus.table import PLAIN
from degrade.settings import Value, ends

_HALO = {"halo_tint": 1, "halo_center": 2, "halo_diameter": 1, "halo_spread": 1}
_HOLE = {"hole_diameter": 1, "hole_center": 2, "hole_kernel": 2}
_BLUR = {"blur_sigma": 1, "blur_kernel": 2}


def streams(settings: Mapping[str, Value]) -> dict[str, int]:
    """How many uniform numbers are drawn of each stream; `cpu_sampling` relies on the order."""
    most = int(ends(settings["spot_count"])[1])
    spots = {"spot_count": 1, "spot_radius": most, "spot_center": 2 * most, "spot_kernel": 2 * most}
    return {"type": 1, **_HALO, **_HOLE, **_BLUR, **dict.fromkeys(PLAIN, 1), **spots}


def type_ends(settings: Mapping[str, Value]) -> tuple[float, float]:
    """The smallest and the largest number that `type` is drawn from."""
    code = settings["type"]
    if code == "independent":  # `sampling.draw` draws a bit for each stage in its place
        return 0, 0
    return (1, len(TYPES)) if code == "random" else (int(str(code), 2),) * 2
