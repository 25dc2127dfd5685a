"""The Cofe-Net degradations on a CPU without gradients: one image at a time, in place, on buffers that stay in cache.

On a CPU the cost of these few operations is fresh memory, not arithmetic: batched, out of place, they take ten times
as long. What is small (the halo's and the hole's values on coarse grids, the spots' patches) is made for several
images at once, which saves calls; what touches every pixel is done image by image. The numbers are those of `stages`,
to float rounding; halo and hole are interpolated where their kernels are wide (to less than half a grey level),
unless `exact` asks for every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from degrade.base import Parameters
from degrade.memory import empty
from degrade.models.fundus import parts
from degrade.models.fundus import reference as stages
from degrade.models.fundus.sampling import BLUR, ILLUMINATION, SPOTS
from degrade.ops.blur import reach_of, taps
from degrade.ops.color import LUMA
from degrade.ops.fields import refine
from degrade.rng import keyed

_CHUNK = 16  # images whose small parts are made together
_BAND = 1 << 18  # pixels of a band of rows in the blur


@dataclass
class Sample:
    """One image being degraded, (C, H, W), changed in place; its parameters as numbers; what was made beforehand."""

    image: Tensor
    mask: Tensor
    p: Parameters
    number: dict[str, Any]
    halo: parts.Field | None
    hole: parts.Field | None
    spots: parts.Patches | None


def degrade(
    image: Tensor, p: Parameters, mask: Tensor, dtype: torch.dtype, *, exact: bool, emulate_8bit: bool
) -> Tensor:
    """(B, C, H, W) -> new tensor of the same shape and of type `dtype`, in which the work is done."""
    degraded = empty(image.shape, dtype)
    size = (image.shape[-2], image.shape[-1])
    for start in range(0, image.shape[0], _CHUNK):
        chunk = {name: value[start : start + _CHUNK] for name, value in p.items()}
        numbers = {name: value.tolist() for name, value in chunk.items()}
        lit = [i for i, bits in enumerate(numbers["type"]) if bits & ILLUMINATION]
        halos, holes = parts.fields(chunk, lit, size, exact)
        spots = parts.patches(chunk, [i for i, bits in enumerate(numbers["type"]) if bits & SPOTS], size)
        for i in range(len(numbers["type"])):
            row = {name: value[i : i + 1] for name, value in chunk.items()}
            number = {name: values[i] for name, values in numbers.items()}
            picture = degraded[start + i].copy_(image[start + i])
            made = (halos.get(i), holes.get(i), spots.get(i))
            _degrade(Sample(picture, mask[start + i], row, number, *made), emulate_8bit)
    return degraded


def _degrade(s: Sample, emulate_8bit: bool) -> None:
    if s.number["type"] & ILLUMINATION:
        if emulate_8bit:
            s.image.copy_(stages.colour(s.image[None], s.p, emulate_8bit=True)[0])
        else:
            _colour(s)
        _halo(s)
        _hole(s)
    _spots(s)
    if s.number["type"] & BLUR:
        _blur(s)
        _noise(s)
    s.image.mul_(s.mask)
    if emulate_8bit:
        s.image.mul_(255).floor_().div_(255)


def _colour(s: Sample) -> None:
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
    amount = s.number["halo_strength"] * _mean(s.image)
    if s.halo is None or amount == 0:
        return
    ring = _whole(s.halo, s.image)
    light = stages.halo_light(s.p["halo_color"], s.image.shape[0])[0].tolist()
    for channel, level in zip(s.image, light, strict=True):
        channel.add_(ring, alpha=amount * level)
    s.image.clamp_(0, 1)


def _hole(s: Sample) -> None:
    mean = _mean(s.image) / max(_mean(s.mask), 1e-6)
    amplitude = s.number["hole_depth"] + s.number["hole_slope"] * mean
    if s.hole is None or mean <= s.number["hole_threshold"] or amplitude == 0:
        return
    s.image.add_(_whole(s.hole, s.image), alpha=-amplitude).clamp_(0, 1)


def _mean(image: Tensor) -> float:
    """Mean of all pixels, plane by plane: a sum over everything at once depends on the number of threads."""
    means: list[float] = image.mean(dim=(1, 2)).tolist()
    return sum(means) / len(means)


def _whole(field: parts.Field, image: Tensor) -> Tensor:
    return refine(field.nodes, (image.shape[-2], image.shape[-1]), field.step)


def _spots(s: Sample) -> None:
    if s.spots is None or not s.spots.tops:
        return
    s.spots.add_to(s.image)
    s.image.clamp_max_(1)


def _blur(s: Sample) -> None:
    """The separable blur, in bands of rows that stay in the cache from the one axis to the other."""
    channels, height, width = s.image.shape
    side = min(height, width)
    rx, ry = (reach_of(size, side) for size in s.number["blur_kernel"])
    x, y = (
        taps(s.p["blur_kernel"][:, i], s.p["blur_sigma"], side, reach)[0].tolist() for i, reach in ((0, rx), (1, ry))
    )
    rows = max(_BAND // (channels * width), 2 * ry + 1)
    bands = max(height // rows, 1)
    edges = [height * i // bands for i in range(bands + 1)]
    tallest = max(bottom - top for top, bottom in pairwise(edges))
    source = s.image.new_empty(channels, tallest + 2 * ry, width + 2 * rx)
    between = s.image.new_empty(channels, tallest, width + 2 * rx)
    above = s.image[:, 1 : ry + 1].flip(1)
    for top, bottom in pairwise(edges):
        last = bottom == height
        below = s.image[:, height - 1 - ry : height - 1].flip(1) if last else s.image[:, bottom : bottom + ry]
        band = source[:, : bottom - top + 2 * ry]
        torch.cat([above, s.image[:, top:bottom], below], dim=1, out=band[:, :, rx : rx + width])
        band[:, :, :rx] = band[:, :, rx + 1 : 2 * rx + 1].flip(2)
        band[:, :, rx + width :] = band[:, :, width - 1 : rx + width - 1].flip(2)
        above = s.image[:, bottom - ry : bottom].clone()  # the next band needs these rows as they were
        blurred = _weighted(band, y, 1, between[:, : bottom - top])
        _weighted(blurred, x, 2, s.image[:, top:bottom]).clamp_max_(1)  # weights add to 1, rounding goes beyond


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
