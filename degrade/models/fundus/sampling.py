"""The law of the Cofe-Net degradations: what is drawn, from which range, and how it hangs together.

Shen, Fu, Shen, Shao, "Modeling and Enhancing Low-Quality Retinal Fundus Images", IEEE TMI 40(3), 2021, and the
degradation code released with it. The release draws whole pixels on square frames of 512; so do we, on the frame of
that size (its shorter side 512), and divide: a key draws the same parameters at every resolution. A range that is
fixed to one number is taken as it is, off the grid too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from degrade import kernels
from degrade.base import Parameters
from degrade.ops.blur import REFERENCE_SIDE
from degrade.ops.constant import constant
from degrade.rng import keyed
from degrade.settings import Choice, Number, Range, Setting, Value, ends, uniform, whole

TYPES = ("001", "010", "011", "100", "101", "110", "111")
"""The seven non-empty subsets of blur, spots and illumination, a digit each, in this order."""

BLUR, SPOTS, ILLUMINATION = 4, 2, 1
"""The bits of the parameter `type`, whose binary digits are the published three-digit codes."""

TINTS = ((251, 249, 246), (141, 238, 238), (177, 195, 147))
"""Colours of the light leak, of 255: white, cyan, green-yellow."""

_PX = 1 / REFERENCE_SIDE

STAGES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "colour": (ILLUMINATION, ("brightness", "contrast", "saturation")),
    "halo": (ILLUMINATION, ("halo_",)),
    "hole": (ILLUMINATION, ("hole_",)),
    "spots": (SPOTS, ("spot_",)),
    "blur": (BLUR, ("blur_",)),
    "noise": (BLUR, ("noise",)),
}
"""In the order in which they act: the bit of `type` that each hangs on, and how its parameters' names begin."""

_NEUTRAL = {
    "brightness": 1.0,
    "contrast": 1.0,
    "saturation": 1.0,
    "halo_strength": 0.0,
    "hole_depth": 0.0,
    "hole_slope": 0.0,
    "spot_height": 0.0,
    "blur_kernel": _PX,
    "noise": 0.0,
}

SETTINGS: dict[str, Setting] = {
    "type": Choice(
        "random",
        ("random", *TYPES),
        "which degradations act, a digit each for blur, spots, illumination; random: one of the seven, equal chances",
    ),
    "brightness": Range((0.7, 1.2), (0.0, 3.0), "factor", "brightness"),
    "contrast": Range((0.6, 1.4), (0.0, 3.0), "factor", "contrast about the mean luma of the frame"),
    "saturation": Range((0.6, 1.4), (0.0, 3.0), "factor", "saturation"),
    "halo_tint": Range((1, 2), (0, 2), "", "colour of the light leak: 0 white, 1 cyan, 2 green-yellow", whole=True),
    "halo_offset": Range((-0.125, 0.125), (-0.5, 0.5), "of width, height", "centre of the halo, from the middle"),
    "halo_diameter": Range((0.75, 1.0), (0.05, 2.0), "of the side", "inner diameter of the halo's ring"),
    "halo_spread": Range(
        (0.0, 1.0), (0.0, 2.0), "", "how far the ring reaches, from the inner disk (0) to the corners"
    ),
    "halo_strength": Range(1.0, (0.0, 3.0), "mean grey", "brightness of the ring, in units of the image's mean"),
    "hole_diameter": Range((0.4, 0.7), (0.02, 2.0), "of the width", "diameter of the dark disk"),
    "hole_x": Range((0.25, 0.75), (0.0, 1.0), "of the width", "centre of the dark disk"),
    "hole_y": Range((0.375, 0.625), (0.0, 1.0), "of the height", "centre of the dark disk"),
    "hole_kernel": Range((0.55, 0.75), (0.0, 1.0), "of its diameter", "width and height of the disk's blur"),
    "hole_depth": Range((0.26, 0.262), (0.0, 1.0), "full scale", "darkening d of the amplitude -(d + s a), a the mean"),
    "hole_slope": Range((0.05, 0.06), (0.0, 1.0), "per mean grey", "slope s of that amplitude"),
    "hole_threshold": Range(0.25, (0.0, 1.0), "mean grey", "images no brighter than this inside the field are spared"),
    "spot_count": Range((5, 10), (0, 64), "", "number of spots", whole=True),
    "spot_radius": Range((0.01, 0.05), (0.002, 0.075), "of the side", "size of a spot; its disk has half this radius"),
    "spot_kernel": Range((0.2, 0.25), (0.0, 1.0), "of its sigma", "width and height of a spot's blur kernel"),
    "blur_sigma": Range((5 * _PX, 15 * _PX), (0.0005, 0.5), "of the side", "nominal standard deviation of the blur"),
    "blur_kernel": Range((1 / 3, 1 / 2), (0.0, 8.0), "of its sigma", "width and height of the kernel: what acts"),
    "noise": Range(
        0.0, (0.0, 1.0), "full scale", "standard deviation of the noise after the blur, in 512-pixel frames"
    ),
    "softness": Number(
        0.0,
        (0.0, 0.1),
        "of the side",
        "rim of halo, hole and spots; 0, the release's hard disks, has no gradient in centres and radii",
    ),
    "emulate_8bit": Choice(False, (False, True), "the release's rounding: Pillow's 8-bit colour, truncated output"),
    "exact": Choice(
        False, (False, True), "every pixel of halo and hole computed, instead of interpolated (to 0.5/255)"
    ),
}

PLAIN = (
    *("brightness", "contrast", "saturation", "halo_strength"),
    *("hole_depth", "hole_slope", "hole_threshold", "noise"),
)
"""What is drawn from its range as it is."""

_HALO = {"halo_tint": 1, "halo_center": 2, "halo_diameter": 1, "halo_spread": 1}
_HOLE = {"hole_diameter": 1, "hole_center": 2, "hole_kernel": 2}
_BLUR = {"blur_sigma": 1, "blur_kernel": 2}


def draw(settings: Mapping[str, Value], keys: Tensor, height: int, width: int) -> Parameters:
    """Draws the parameters of (B,) keys for frames of this shape; docs/parameters.md says what each means."""
    if kernels.numba_serves(keys.device):
        from degrade.models.fundus import cpu_sampling as loops

        return loops.draw(settings, keys, height, width)
    u = keyed.uniforms(keys, streams(settings))
    scale = REFERENCE_SIDE / min(height, width)
    frame = (width * scale, height * scale)
    low, high = _table(tuple(zip(*(ends(settings[name]) for name in PLAIN), strict=True)), keys)
    plain = low + (high - low) * torch.cat([u[name] for name in PLAIN], dim=1)
    drawn = dict(zip(PLAIN, plain.unbind(dim=1), strict=True))
    drawn |= _halo(settings, u, frame) | _hole(settings, u, frame) | _spots(settings, u, frame) | _blur(settings, u)
    result = {name: value.to(torch.float32) for name, value in drawn.items()}
    result["type"] = whole(*type_ends(settings), u["type"][:, 0]).to(torch.int64)
    result["spot_count"] = whole(*ends(settings["spot_count"]), u["spot_count"][:, 0]).to(torch.int64)
    result["noise_key"] = keyed.fold_in(keys, "noise")
    return result


def streams(settings: Mapping[str, Value]) -> dict[str, int]:
    """How many uniform numbers are drawn of each stream; `degrade.models.fundus.cpu_sampling` counts on the order."""
    most = int(ends(settings["spot_count"])[1])
    spots = {"spot_count": 1, "spot_radius": most, "spot_center": 2 * most, "spot_kernel": 2 * most}
    return {"type": 1, **dict.fromkeys(PLAIN, 1), **_HALO, **_HOLE, **_BLUR, **spots}


def type_ends(settings: Mapping[str, Value]) -> tuple[float, float]:
    """The smallest and the largest number that `type` is drawn from."""
    code = settings["type"]
    return (1, len(TYPES)) if code == "random" else (int(str(code), 2),) * 2


def bounds(settings: Mapping[str, Value], height: int, width: int) -> dict[str, float]:
    """At least the largest spot radius and kernels that `draw` can return for such frames, as fractions of the side.

    Plain numbers, so that whoever needs them to lay out its work need not wait for a device.
    """
    scale = REFERENCE_SIDE / min(height, width)
    radius = ends(settings["spot_radius"])[1]
    offset = max(abs(end) for end in ends(settings["halo_offset"])) * max(height, width) * scale
    nearest, furthest = (end * REFERENCE_SIDE for end in ends(settings["halo_diameter"]))
    halo = max(REFERENCE_SIDE + 2 * offset - nearest, furthest - REFERENCE_SIDE)
    hole = ends(settings["hole_kernel"])[1] * ends(settings["hole_diameter"])[1] * width * scale
    return {
        "spot_radius": radius / 2,
        "spot_kernel": (ends(settings["spot_kernel"])[1] * _spot_sigma(radius * REFERENCE_SIDE) + 1) * _PX,
        "blur_kernel": ends(settings["blur_kernel"])[1] * ends(settings["blur_sigma"])[1] + _PX,
        "halo_kernel": (halo + 2) * _PX,
        "hole_kernel": (hole + 2) * _PX,
    }


def halo_color(tint: Tensor) -> Tensor:
    """(B,) numbers of `TINTS` -> (B, 3) in [0, 1]."""
    return _table(TINTS, tint)[tint.to(torch.int64)] / 255


def halo_geometry(center: Tensor, inner: Tensor, outer: Tensor, frame: tuple[float, float]) -> Parameters:
    """The halo from its centre (B, 2) and its two diameters (B,), in pixels of a frame (width, height)."""
    side, size = min(frame), _table(frame, center)
    offset = (center - size / 2).abs().amax(dim=1)
    kernel = (side + 2 * offset - inner).abs().floor()
    return {
        "halo_center": (center + 0.5) / size,
        "halo_inner": (inner / 2).floor() / side,
        "halo_outer": (outer / 2).floor() / side,
        "halo_kernel": _odd(kernel) / side,
        "halo_sigma": (2 * kernel / 3).clamp_min(1) / side,
    }


def spot_height(radius: Tensor) -> Tensor:
    """Height of a spot of drawn radius r, in pixels of 512: A (1 - t), A = 14/25 + 1 - q, t = exp(-(0.5 + q) 0.3 q)."""
    q = radius / 25
    # not torch.exp: MKL's takes all threads for a hundred numbers, and they keep the cores busy for milliseconds after
    return (14 / 25 + 1 - q) * (1 - torch.exp2(-(0.5 + q) * 0.3 * q * math.log2(math.e)))


def _halo(settings: Mapping[str, Value], u: Parameters, frame: tuple[float, float]) -> Parameters:
    side, size = min(frame), _table(frame, u["halo_center"])
    center = size / 2 + _grid(settings["halo_offset"], size, u["halo_center"], inward=True)
    inner = side * uniform(settings["halo_diameter"], u["halo_diameter"][:, 0])
    reach = torch.maximum(center, size - center)
    corner = reach.square().sum(dim=1).sqrt().floor()
    spread = 1 + (2 * corner / side - 1) * uniform(settings["halo_spread"], u["halo_spread"][:, 0])
    tint = whole(*ends(settings["halo_tint"]), u["halo_tint"][:, 0])
    shift = (2 / 3 - tint.clamp(0, 1) / 6) * max(frame)  # two thirds for white, else half
    outer = side * spread + ((center - size / 2).amax(dim=1) + shift).abs()
    return {"halo_color": halo_color(tint), **halo_geometry(center, inner, outer, frame)}


def _hole(settings: Mapping[str, Value], u: Parameters, frame: tuple[float, float]) -> Parameters:
    side, size = min(frame), _table(frame, u["hole_center"])
    diameter = _grid(settings["hole_diameter"], frame[0], u["hole_diameter"])
    ranges = tuple(zip(ends(settings["hole_x"]), ends(settings["hole_y"]), strict=True))
    first, last = _table(ranges, size) * size
    center = torch.where(first == last, first, whole(first.floor(), last.floor(), u["hole_center"]))
    kernel = _grid(settings["hole_kernel"], diameter, u["hole_kernel"])
    return {
        "hole_center": (center + 0.5) / size,
        "hole_radius": (diameter[:, 0] / 2).floor() / side,
        "hole_kernel": _odd(kernel) / side,
        "hole_sigma": (0.8 * kernel.amax(dim=1)).clamp_min(1) / side,
    }


def _spots(settings: Mapping[str, Value], u: Parameters, frame: tuple[float, float]) -> Parameters:
    side, size = min(frame), _table(frame, u["spot_center"])
    radius = _grid(settings["spot_radius"], side, u["spot_radius"], inward=True)
    batch, count = radius.shape
    room = radius[..., None] + 1
    center = whole(room, (size - room).floor(), u["spot_center"].reshape(batch, count, 2))
    sigma = _spot_sigma(radius)
    kernel = _grid(settings["spot_kernel"], sigma[..., None], u["spot_kernel"].reshape(batch, count, 2))
    present = _table(tuple(range(count)), radius) < whole(*ends(settings["spot_count"]), u["spot_count"])
    return {
        "spot_center": (center + 0.5) / size,
        "spot_radius": (radius / 2).floor() / side,
        "spot_height": spot_height(radius) * present,
        "spot_kernel": _odd(kernel) / side,
        "spot_sigma": sigma / side,
    }


def _blur(settings: Mapping[str, Value], u: Parameters) -> Parameters:
    sigma = uniform(settings["blur_sigma"], u["blur_sigma"]) * REFERENCE_SIDE
    kernel = _grid(settings["blur_kernel"], sigma, u["blur_kernel"])
    return {"blur_sigma": sigma[:, 0] * _PX, "blur_kernel": _odd(kernel) * _PX}


def _spot_sigma(radius: Any) -> Any:
    return 2 * (5 + 20 * radius / 25)


def _grid(value: Value, unit: float | Tensor, u: Tensor, inward: bool = False) -> Tensor:
    """Whole numbers from floor(low), or ceil(low), to floor(high), in multiples of `unit`; one that is fixed stays."""
    low, high = ends(value)
    if low == high:
        return low * unit + 0 * u
    xp: Any = torch if isinstance(unit, Tensor) else math
    return whole((xp.ceil if inward else xp.floor)(low * unit), xp.floor(high * unit), u)


def _odd(number: Tensor) -> Tensor:
    """The number if it is odd, else the next whole one that is; a number between stays as it is."""
    return number + (number % 2 == 0)


def _table(values: Any, like: Tensor) -> Tensor:
    return constant(values, torch.float64, like.device)


def neutral(p: Parameters, keep: tuple[str, ...] = ()) -> Parameters:
    """The parameters with everything made to change nothing, but for the stages named in `keep` (`STAGES`)."""
    kept = tuple(prefix for stage in keep for prefix in STAGES[stage][1])
    unchanged = {name: torch.full_like(p[name], value) for name, value in _NEUTRAL.items() if not name.startswith(kept)}
    return {**p, **unchanged}
