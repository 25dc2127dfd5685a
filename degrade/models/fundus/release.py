"""The parameter files of the Cofe-Net release, read as our parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import torch
from msgspec import Meta, Struct
from torch import Tensor

from degrade.models.fundus import sampling
from degrade.models.fundus.constants import BLUR, ILLUMINATION, SPOTS, TINTS
from degrade.models.fundus.model import Fundus
from degrade.ops.constants import REFERENCE_SIDE
from degrade.parameters import Parameters
from degrade.text import TextError, convert

_Number = Annotated[float, Meta(ge=-1e6, le=1e6)]
_Positive = Annotated[float, Meta(ge=0, le=1e6)]
_Point = tuple[_Number, _Number]


class _Color(Struct):
    brightness_factor: _Positive
    contrast_factor: _Positive
    saturation_factor: _Positive


class _Halo(Struct):
    center_a: _Point
    dia_a: _Positive
    dia_b: _Positive
    style_num: _Positive | None = None
    num: _Positive | None = None


class _Hole(Struct):
    center: _Point
    diameter_circle: _Positive
    rad_w: _Positive
    rad_h: _Positive
    sigma: _Positive
    brightness_factor: _Number


class _Light(Struct):
    color: _Color
    halo: _Halo
    hole: _Hole


class _Spot(Struct):
    center: _Point
    radius: _Positive
    rad_w: _Positive
    rad_h: _Positive
    sigma: _Positive


class _Blur(Struct):
    sigma: _Positive
    rad_w: _Positive
    rad_h: _Positive


class _Params(Struct):
    size: Annotated[float, Meta(ge=1, le=65535)] = REFERENCE_SIDE
    illumination: _Light | None = None
    spots: Annotated[list[_Spot], Meta(max_length=1000)] | None = None
    blur: _Blur | None = None


class _File(Struct):
    params: _Params


def from_cofe_net(file: Mapping[str, Any]) -> Parameters:
    """Parameters of one sample from the contents of a Cofe-Net parameter file, for 512 x 512 images.

    Both spellings are read: the released code's (`halo.num`) and that of the files published with the data set
    (`halo.style_num`). Stages that the file lacks are left out of the `type`. The files hold the hole's amplitude
    itself, so no threshold applies. To get the release's own bytes, degrade with `emulate_8bit=True`.

    Raises:
        ValueError: naming the field that is missing or not what it must be.
    """
    try:
        params = convert(_without_empty(file), _File).params
    except TextError as error:
        raise ValueError(f"not a Cofe-Net parameter file: {error}") from None
    side = params.size
    base = Fundus.parameter_table.only(Fundus().draw(torch.zeros(1, dtype=torch.int64), REFERENCE_SIDE, REFERENCE_SIDE))
    found: dict[str, Tensor] = {}
    bits = 0
    if params.illumination:
        bits |= ILLUMINATION
        found |= _illumination(params.illumination, side)
    if params.spots:
        bits |= SPOTS
        found |= _spots(params.spots, side)
        base["spot_count"] = torch.tensor([len(params.spots)])
    if params.blur:
        bits |= BLUR
        found["blur_sigma"] = _numbers(params.blur.sigma) / side
        found["blur_kernel"] = _numbers(params.blur.rad_w, params.blur.rad_h)[None] / side
    if not bits:
        raise ValueError("not a Cofe-Net parameter file: it has neither illumination, spots nor blur")
    base["type"] = torch.tensor([bits])
    return {**base, **{name: value.to(torch.float32) for name, value in found.items()}}


def _without_empty(file: Mapping[str, Any]) -> dict[str, Any]:
    """The file without stages that are there and empty ("", {}, null), which the release writes for none."""
    params = file.get("params") if isinstance(file, Mapping) else None
    if not isinstance(params, Mapping):
        return dict(file)
    stages = ("illumination", "spots", "blur")
    return {"params": {name: value for name, value in params.items() if name not in stages or value}}


def _illumination(light: _Light, side: float) -> dict[str, Tensor]:
    color, halo, hole = light.color, light.halo, light.hole
    chosen = halo.num if halo.style_num is None else halo.style_num
    if chosen is None:
        raise ValueError("not a Cofe-Net parameter file: halo has neither 'num' nor 'style_num'")
    tint = int(chosen)
    if not 0 <= tint < len(TINTS):
        raise ValueError(f"halo tint {tint}: allowed is 0 to {len(TINTS) - 1}")
    found = {
        "brightness": _numbers(color.brightness_factor),
        "contrast": _numbers(color.contrast_factor),
        "saturation": _numbers(color.saturation_factor),
        "halo_color": sampling.halo_color(torch.tensor([tint])),
        "halo_strength": _numbers(1),
    }
    found |= sampling.halo_geometry(
        _numbers(*halo.center_a)[None], _numbers(halo.dia_a), _numbers(halo.dia_b), (int(side), int(side))
    )
    return found | {
        "hole_center": (_numbers(*hole.center)[None] + 0.5) / side,
        "hole_radius": _numbers(hole.diameter_circle // 2) / side,
        "hole_kernel": _numbers(hole.rad_w, hole.rad_h)[None] / side,
        "hole_sigma": _numbers(hole.sigma) / side,
        "hole_depth": _numbers(-hole.brightness_factor),
        "hole_slope": _numbers(0),
        "hole_threshold": _numbers(0),
    }


def _spots(spots: list[_Spot], side: float) -> dict[str, Tensor]:
    radius = _numbers(*(spot.radius for spot in spots))[None]
    return {
        "spot_radius": (radius / 2).floor() / side,
        "spot_height": sampling.spot_height(radius * (REFERENCE_SIDE / side)),
        "spot_center": (torch.stack([_numbers(*spot.center) for spot in spots])[None] + 0.5) / side,
        "spot_kernel": torch.stack([_numbers(spot.rad_w, spot.rad_h) for spot in spots])[None] / side,
        "spot_sigma": _numbers(*(spot.sigma for spot in spots))[None] / side,
    }


def _numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)
