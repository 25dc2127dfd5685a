"""The Cofe-Net degradations on a CPU without gradients: one image at a time, in place, on buffers that stay in cache.

On a CPU the cost of these few operations is fresh memory, not arithmetic: batched, out of place, they take ten times
as long. The numbers are those of `stages`, to float rounding; halo and hole are interpolated where their kernels
are wide (to less than half a grey level), unless `exact` asks for every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from degrade import keyed
from degrade.base import Parameters
from degrade.functional.blur import reach_of, taps
from degrade.functional.colour import LUMA
from degrade.functional.fields import disk_field
from degrade.fundus import stages
from degrade.fundus.law import BLUR, ILLUMINATION, SPOTS

_SMOOTH = 40  # pixels of kernel per pixel of grid: keeps the interpolation under half a grey level


@dataclass
class Sample:
    """One image being degraded, (C, H, W), changed in place; its parameters as tensors of one and as numbers."""

    image: Tensor
    mask: Tensor
    p: Parameters
    number: dict[str, Any]
    exact: bool
    emulate_8bit: bool


def degrade(
    image: Tensor, p: Parameters, mask: Tensor, dtype: torch.dtype, *, exact: bool, emulate_8bit: bool
) -> Tensor:
    """(B, C, H, W) -> new tensor of the same shape and of type `dtype`, in which the work is done."""
    degraded = torch.empty(image.shape, dtype=dtype)
    numbers = {name: value.tolist() for name, value in p.items()}
    for i in range(image.shape[0]):
        row = {name: value[i : i + 1] for name, value in p.items()}
        number = {name: values[i] for name, values in numbers.items()}
        sample = Sample(degraded[i].copy_(image[i]), mask[i], row, number, exact, emulate_8bit)
        if number["type"] & ILLUMINATION:
            _colour(sample)
            _halo(sample)
            _hole(sample)
        if number["type"] & SPOTS:
            _spots(sample)
        if number["type"] & BLUR:
            _blur(sample)
            _noise(sample)
        sample.image.mul_(mask[i])
        if emulate_8bit:
            sample.image.mul_(255).floor_().div_(255)
    return degraded


def _colour(s: Sample) -> None:
    if s.emulate_8bit:
        s.image.copy_(stages.colour(s.image[None], s.p, emulate_8bit=True)[0])
        return
    b, c, saturation = (s.number[name] for name in ("brightness", "contrast", "saturation"))
    if b > 1:
        s.image.mul_(b).clamp_max_(1)
        b = 1.0
    means = s.image.mean(dim=(1, 2)).tolist()
    mean = b * (sum(w * m for w, m in zip(LUMA, means, strict=True)) if len(means) == 3 else means[0])
    s.image.mul_(b * c).add_((1 - c) * mean)
    if c > 1:  # otherwise it is an average of values within [0, 1]
        s.image.clamp_(0, 1)
    if len(means) == 3 and saturation != 1:
        luma = (s.image[0] * LUMA[0]).add_(s.image[1], alpha=LUMA[1]).add_(s.image[2], alpha=LUMA[2])
        torch.lerp(luma.expand_as(s.image), s.image, saturation, out=s.image)
        if saturation > 1:
            s.image.clamp_(0, 1)


def _halo(s: Sample) -> None:
    amount = s.number["halo_strength"] * float(s.image.mean())
    if amount == 0:
        return
    kernel = s.p["halo_kernel"][:, None].expand(-1, 2)
    ring = _field(s, "halo", s.p["halo_outer"], kernel).sub_(_field(s, "halo", s.p["halo_inner"], kernel))
    if s.number["halo_outer"] < s.number["halo_inner"]:
        ring.neg_()
    light = stages.halo_light(s.p["halo_color"], s.image.shape[0])[0].tolist()
    for channel, level in zip(s.image, light, strict=True):
        channel.add_(ring, alpha=amount * level)
    s.image.clamp_max_(1)


def _hole(s: Sample) -> None:
    mean = float(s.image.sum()) / max(s.image.shape[0] * float(s.mask.sum()), 1)
    amplitude = s.number["hole_depth"] + s.number["hole_slope"] * mean
    if mean <= s.number["hole_threshold"] or amplitude == 0:
        return
    s.image.add_(_field(s, "hole", s.p["hole_radius"], s.p["hole_kernel"]), alpha=-amplitude).clamp_min_(0)


def _field(s: Sample, name: str, radius: Tensor, kernel: Tensor) -> Tensor:
    """(H, W): a blurred disk, computed on as coarse a grid as its kernel allows."""
    height, width = s.image.shape[-2:]
    wide = float(kernel.min()) * min(height, width) / _SMOOTH
    step = 1 << max(0, int(wide).bit_length() - 1)
    center, sigma = s.p[f"{name}_center"], s.p[f"{name}_sigma"]
    field = disk_field(center, radius, kernel, sigma, (height, width), 1 if s.exact else step)
    return field[0].to(s.image.dtype)


def _spots(s: Sample) -> None:
    height, width = s.image.shape[-2:]
    present = [i for i, h in enumerate(s.number["spot_height"]) if h]
    if not present:
        return
    p = {name: value[:, present] for name, value in s.p.items() if name.startswith("spot_") and value.ndim > 1}
    reach = stages.spot_reach(stages.largest(p["spot_radius"]), stages.largest(p["spot_kernel"]), min(height, width))
    patches, tops, lefts = stages.spot_patches(p, (height, width), reach)
    for patch, top, left in zip(patches[0].to(s.image.dtype), tops[0].tolist(), lefts[0].tolist(), strict=True):
        first_row, first_column = max(-top, 0), max(-left, 0)
        part = patch[first_row : max(height - top, 0), first_column : max(width - left, 0)]
        rows, columns = part.shape
        top, left = max(top, 0), max(left, 0)
        s.image[:, top : top + rows, left : left + columns] += part
    s.image.clamp_max_(1)


def _blur(s: Sample) -> None:
    height, width = s.image.shape[-2:]
    side = min(height, width)
    rx, ry = (reach_of(size, side) for size in s.number["blur_kernel"])
    x, y = (
        taps(s.p["blur_kernel"][:, i], s.p["blur_sigma"], side, reach)[0].tolist() for i, reach in ((0, rx), (1, ry))
    )
    padded = functional.pad(s.image[None], (rx, rx, ry, ry), mode="reflect")[0]
    if ry:
        padded = _weighted(padded, y, 1, torch.empty_like(padded[:, :height]))
    if rx:
        padded = _weighted(padded, x, 2, s.image)
    if padded is not s.image:
        s.image.copy_(padded)


def _weighted(padded: Tensor, weights: list[float], axis: int, out: Tensor) -> Tensor:
    """The symmetric sum of shifted slices along an axis, into `out`."""
    reach, length = len(weights) - 1, out.shape[axis]
    torch.mul(padded.narrow(axis, reach, length), weights[0], out=out)
    for lag, weight in enumerate(weights[1:], start=1):
        for start in (reach - lag, reach + lag):
            out.add_(padded.narrow(axis, start, length), alpha=weight)
    return out


def _noise(s: Sample) -> None:
    scale = s.number["noise"] * min(s.image.shape[-2:]) / 512
    if scale:
        normals = keyed.normals(s.p["noise_key"], "pixel", tuple(s.image.shape), s.image.dtype)
        s.image.add_(normals[0], alpha=scale).clamp_(0, 1)
