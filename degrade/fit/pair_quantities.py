"""What a pair tells: quantities that act, each with the error that the pair leaves, and whether it is small enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from degrade.fit.pair_descent import Target, jacobian
from degrade.fit.pair_space import Numbers
from degrade.models import Fundus
from degrade.models.fundus import reference
from degrade.models.fundus.constants import BLUR, ILLUMINATION
from degrade.ops.blur import reach_of, taps
from degrade.ops.fields import blur_field, disk
from degrade.parameters import Parameters

TOLERATED = 0.05
"""Error of an identifiable quantity at most, as a share of its size."""
TOLERATED_PLACE = 0.02
"""The same of a place, as a share of the frame."""
_PATCH = 1 / 32  # of the side: over how much what is left over is taken to be alike
_LEAST_LEFT = 1 / 255
_STEP = 0.004
_GRID = 128

_Values = dict[str, tuple[Tensor, str]]


@dataclass(frozen=True)
class Quantity:
    """Something that acts on the picture.

    Args:
        name: what it is called.
        value: of it.
        error: its standard error, to first order, if what the fit leaves over (one grey level at least) were alike
            over patches of 1/32 of the side; numbers that the picture says nothing about are anywhere in their reach.
        unit: of both.
        is_place: whether it is a place in the frame.
    """

    name: str
    value: float
    error: float
    unit: str
    is_place: bool

    @property
    def identified(self) -> bool:
        """Whether the error is at most 2 % of the frame for places, 5 % of the value for all else."""
        return self.error <= (TOLERATED_PLACE if self.is_place else TOLERATED * abs(self.value))


def quantities(target: Target, numbers: Numbers) -> tuple[Quantity, ...]:
    """What the fitted parameters mean, with errors.

    For fundus recipes what acts: factors of color; where the hole is, how much it darkens, how far it reaches; the
    halo's place, its two rims and its mean light; the blur's standard deviations. Otherwise each number that was
    fitted.
    """
    vector = numbers.vector()
    now = target.differences(numbers.parameters(vector[None]))[0]
    of: Callable[[Parameters], _Values] = _plain(numbers)
    if isinstance(target.recipe, Fundus):

        def of(parameters: Parameters) -> _Values:
            return effective(target.clean, target.mask, parameters)

    covariance = _covariance(target, numbers, vector, now)
    signs = torch.where(vector > 0.5, -1.0, 1.0).double()
    moved = torch.cat([vector[None], vector + torch.diag(_STEP * signs)])
    found = []
    for name, (values, unit) in of(numbers.parameters(moved)).items():
        slopes = (values[1:].double() - values[0].double()) / (_STEP * signs)
        error = math.sqrt(max(float(slopes @ covariance @ slopes), 0.0))
        found.append(Quantity(name, float(values[0]), error, unit, unit == "of the frame"))
    return tuple(found)


def effective(clean: Tensor, mask: Tensor, p: Parameters) -> _Values:
    """What fundus parameters (K, ...) do to one image: names to (K,) values and units.

    Args:
        clean: (1, C, H, W) the square around the field of view.
        mask: (1, 1, H, W)
    """
    count = len(p["type"])
    found: _Values = {}
    if bool((p["type"] & ILLUMINATION).any()):
        small, inside = (torch.nn.functional.interpolate(x, (_GRID, _GRID), mode="area") for x in (clean, mask))
        for start in range(0, count, 16):
            some = {name: value[start : start + 16] for name, value in p.items()}
            for name, (values, unit) in _light(small, inside, some).items():
                before = found[name][0] if name in found else values[:0]
                found[name] = (torch.cat([before, values]), unit)
    if bool((p["type"] & BLUR).any()):
        for axis, name in enumerate(("blur_x", "blur_y")):
            deviation = blur_deviation(p["blur_kernel"][:, axis], p["blur_sigma"], min(clean.shape[-2:]))
            found[name] = (deviation, "of the side")
    return found


def blur_deviation(kernel: Tensor, sigma: Tensor, cells: int) -> Tensor:
    """(K,) standard deviation of a truncated Gaussian kernel on so many pixels a side, of the side.

    >>> blur_deviation(torch.tensor([3 / 512]), torch.tensor([1.0]), 512) * 512  # three equal taps
    tensor([0.8165])
    """
    reach = reach_of(float(kernel.max()), cells)
    weights = taps(kernel, sigma, cells, reach)
    distances = torch.arange(reach + 1).to(weights)
    variance: Tensor = (2 * weights * distances**2).sum(-1)
    return variance.sqrt() / cells


def _light(clean: Tensor, inside: Tensor, p: Parameters) -> _Values:
    count, size = len(p["type"]), (_GRID, _GRID)
    image, mask = clean.expand(count, -1, -1, -1), inside.expand(count, -1, -1, -1)
    area = mask.sum((1, 2, 3)).clamp_min(1)
    toned = reference.color(image, p)
    lit = reference.halo(toned, p, 2 / 512)
    mean = lit.sum((1, 2, 3)) / (lit.shape[1] * area)
    dark = blur_field(disk(p["hole_center"], p["hole_radius"], size, 2 / 512), p["hole_kernel"], p["hole_sigma"])
    peak = dark.amax((1, 2))
    depth = torch.where(mean > p["hole_threshold"], p["hole_depth"] + p["hole_slope"] * mean, 0.0)
    half = ((dark / peak.clamp_min(1e-6)[:, None, None] - 0.5) * 4 + 0.5).clamp(0, 1)
    rims = torch.stack([p["halo_inner"], p["halo_outer"]]).sort(0).values
    return {
        "brightness": (p["brightness"], "factor"),
        "contrast": (p["contrast"], "factor"),
        "saturation": (p["saturation"], "factor"),
        "halo_x": (p["halo_center"][:, 0], "of the frame"),
        "halo_y": (p["halo_center"][:, 1], "of the frame"),
        "halo_inner_rim": (rims[0], "of the side"),
        "halo_outer_rim": (rims[1], "of the side"),
        "halo_light": ((lit - toned).mean(1, keepdim=True).mul(mask).sum((1, 2, 3)) / area, "full scale"),
        "hole_x": (p["hole_center"][:, 0], "of the frame"),
        "hole_y": (p["hole_center"][:, 1], "of the frame"),
        "hole_amplitude": (depth * peak, "full scale"),
        "hole_rim": ((half.mean((1, 2)) / math.pi).sqrt(), "of the side"),
    }


def _plain(numbers: Numbers) -> Callable[[Parameters], _Values]:
    def of(parameters: Parameters) -> _Values:
        units = {p: "of the frame" if p.endswith("_center") else "" for p in numbers.reach.low}
        found: _Values = {}
        for name, unit in units.items():
            columns = parameters[name].reshape(len(parameters[name]), -1)
            for at in range(columns.shape[1]):
                found[name if columns.shape[1] == 1 else f"{name}[{at}]"] = (columns[:, at], unit)
        return found

    return of


def _covariance(target: Target, numbers: Numbers, vector: Tensor, now: Tensor) -> Tensor:
    """(P, P) of the numbers, with those that the picture says nothing about uniform over their reach."""
    slopes = jacobian(target, numbers, vector, now).float()
    left = max(float(now.square().mean()), _LEAST_LEFT**2)
    everything = float((target.compared > 0.5).sum()) * target.clean.shape[1]
    patches = everything / ((_PATCH * target.side) ** 2 * target.clean.shape[1])
    precision = (slopes @ slopes.T).double() * patches / slopes.shape[1] / left
    inverse: Tensor = torch.linalg.inv(precision + 12 * torch.eye(len(vector), dtype=torch.float64))
    return inverse
