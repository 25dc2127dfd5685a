"""Sampling of the Cofe-Net parameters: which are drawn from which range, and how they depend on each other.

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

from degrade.backend import Operation, run
from degrade.models.fundus.constants import PROBABILITIES, TINTS, WIDEST
from degrade.models.fundus.streams import streams, type_ends
from degrade.models.fundus.table import PLAIN
from degrade.ops.constant import constant
from degrade.ops.constants import REFERENCE_SIDE
from degrade.parameters import Parameters
from degrade.rng import keyed
from degrade.settings import Value, ends, uniform, whole

_SAMPLING = Operation("fundus.sampling", cpu="degrade.models.fundus.cpu_sampling:draw")


_PX = 1 / REFERENCE_SIDE


def draw(settings: Mapping[str, Value], keys: Tensor, height: int, width: int) -> Parameters:
    """Draw the parameters of (B,) keys on the CPU for frames of this shape; docs/parameters.md says what each means."""
    drawn: Parameters = run(_SAMPLING, define, (settings, keys, height, width), keys.device)
    return {**drawn, "type": independent(settings, keys)} if settings["type"] == "independent" else drawn


def independent(settings: Mapping[str, Value], keys: Tensor) -> Tensor:
    """The bits of the stages that act, (B,) int64, where each acts with a probability of its own."""
    u = keyed.uniforms(keys, dict.fromkeys(PROBABILITIES, 1))
    acting = [(u[name][:, 0] < ends(settings[name])[0]) * bit for name, bit in PROBABILITIES.items()]
    return torch.stack(acting).sum(0)


def define(settings: Mapping[str, Value], keys: Tensor, height: int, width: int) -> Parameters:
    """The definition of `draw`."""
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


def largest(settings: Mapping[str, Value], height: int, width: int) -> dict[str, float]:
    """At least the largest spot radius, kernels and noise that `draw` can return for such frames.

    They decide the shapes of the work, the same for every batch of a recipe.
    """
    scale = REFERENCE_SIDE / min(height, width)
    least, radius = ends(settings["spot_radius"])
    radius = max(radius, math.ceil(least * REFERENCE_SIDE) * _PX)  # a range between two whole pixels draws the upper
    offset = max(abs(end) for end in ends(settings["halo_offset"])) * max(height, width) * scale
    nearest, furthest = (end * REFERENCE_SIDE for end in ends(settings["halo_diameter"]))
    halo = max(REFERENCE_SIDE + 2 * offset - nearest, furthest - REFERENCE_SIDE)
    hole = ends(settings["hole_kernel"])[1] * ends(settings["hole_diameter"])[1] * width * scale
    return {
        "spot_radius": radius / 2,
        "spot_kernel": (ends(settings["spot_kernel"])[1] * _spot_sigma(radius * REFERENCE_SIDE) + 1) * _PX,
        "blur_kernel": ends(settings["blur_kernel"])[1] * ends(settings["blur_sigma"])[1] + _PX,
        "halo_kernel": min((halo + 2) * _PX, WIDEST),
        "hole_kernel": min((hole + 2) * _PX, WIDEST),
        "noise": ends(settings["noise"])[1],
    }


def halo_color(tint: Tensor) -> Tensor:
    """(B,) numbers of `TINTS` -> (B, 3) in [0, 1]."""
    return _table(TINTS, tint)[tint.to(torch.int64)] / 255


def halo_geometry(center: Tensor, inner: Tensor, outer: Tensor, frame: tuple[float, float]) -> Parameters:
    """The halo from its center (B, 2) and its two diameters (B,), in pixels of a frame (width, height)."""
    side, size = min(frame), _table(frame, center)
    offset = (center - size / 2).abs().amax(dim=1)
    kernel = (side + 2 * offset - inner).abs().floor().clamp_max(WIDEST * side - 1)
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
    kernel = _grid(settings["hole_kernel"], diameter, u["hole_kernel"]).clamp_max(WIDEST * side - 1)
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
