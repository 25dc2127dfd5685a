"""Every Cofe-Net stage on every backend equals the committed golden sample, on any machine."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import degrade
from degrade.models.fundus.table import STAGE_BITS
from tests import reference
from tests.golden import make

STAGES = ("colour", "halo", "hole", "spots", "blur")


def kernel(taps: int) -> float:
    """The size, as a fraction of the side, of a kernel that has so many taps at 64 pixels."""
    return math.sqrt((taps**2 - 1) / make.SIDE**2 + 1 / 512**2)


def parameters(d: degrade.Degradation) -> degrade.Parameters:
    """The sample's parameters as ours."""
    side = make.SIDE

    def point(center: tuple[int, int]) -> list[float]:
        return [(value + 0.5) / side for value in center]

    halo, hole, blur = make.HALO, make.HOLE, make.BLUR
    reach = 2 * max(halo["center"][0], side - halo["center"][0], halo["center"][1], side - halo["center"][1])
    width = math.floor(abs(reach - halo["inner"]))
    spots = make.SPOTS
    given = {
        **make.COLOR,
        "halo_color": [value / 255 for value in (141, 238, 238)],
        "halo_center": point(halo["center"]),
        "halo_inner": halo["inner"] // 2 / side,
        "halo_outer": halo["outer"] // 2 / side,
        "halo_kernel": kernel(width + 1 - width % 2),
        "halo_sigma": 2 * width / 3 / side,
        "halo_strength": 1.0,
        "hole_center": point(hole["center"]),
        "hole_radius": hole["diameter"] // 2 / side,
        "hole_kernel": [kernel(hole["width"]), kernel(hole["height"])],
        "hole_sigma": hole["sigma"] / side,
        "hole_depth": -hole["amplitude"],
        "hole_slope": 0.0,
        "hole_threshold": 0.0,
        "spot_center": [point(spot["center"]) for spot in spots],
        "spot_radius": [spot["radius"] // 2 / side for spot in spots],
        "spot_height": [reference.spot_height(spot["radius"], side) for spot in spots],
        "spot_kernel": [[kernel(spot["rad_w"]), kernel(spot["rad_h"])] for spot in spots],
        "spot_sigma": [spot["sigma"] / side for spot in spots],
        "blur_kernel": [kernel(blur["width"]), kernel(blur["height"])],
        "blur_sigma": blur["sigma"] / side,
        "noise": 0.0,
        "spot_count": len(spots),
        "noise_key": 0,
        "type": 7,
    }
    return {p.name: torch.tensor([given[p.name]], dtype=p.dtype) for p in d.parameter_table}


def stored() -> dict[str, np.ndarray]:
    with np.load(make.FILE) as arrays:
        return {name: arrays[name] for name in arrays}


def test_the_sample_is_the_reference() -> None:
    kept = stored()
    for name, stage in make.stages(kept["image"] / 65535).items():
        assert np.abs(stage * 65535 - kept[name]).max() <= 0.51, name


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("backend", degrade.backend.names)
def test_a_stage_equals_the_sample(backend: str, stage: str, exact: bool) -> None:
    kept = stored()
    image, expected = (torch.from_numpy((kept[name] / 65535).astype(np.float32))[None] for name in ("image", stage))
    inside = torch.from_numpy(kept["mask"])[None, None].float() if stage == "hole" else torch.ones(1, 1, 64, 64)
    d = degrade.recipe("cofe-net", exact=exact, frame="image")
    p = d.parameter_table.only(parameters(d), stage) | {"type": torch.tensor([STAGE_BITS[stage]])}
    with degrade.backend(backend):
        error = (d.apply(image, p, inside) - expected * inside).abs().max() * 255
    assert error <= (0.05 if exact and backend != "gpu" else 0.5)
    assert (image * inside - expected * inside).abs().max() * 255 > 2  # and the stage does something
