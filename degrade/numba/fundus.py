"""The Cofe-Net degradations of a batch on a CPU without gradients: one image at a time, a thread to each core.

What is small is made for the whole batch by the functions that every path uses: the parameters, and all kernels' taps.
The rest is loops over one image that need no memory but a few planes, kept from image to image (`Scratch`). An image's
numbers are the same alone and in any batch, with any number of threads.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade import keyed
from degrade.base import Parameters
from degrade.functional.blur import REFERENCE_SIDE, reach_of, taps
from degrade.functional.fields import weights_between
from degrade.fundus import stages
from degrade.fundus.law import BLUR, ILLUMINATION, SPOTS
from degrade.fundus.parts import grid_step
from degrade.memory import empty
from degrade.numba import chain, fields, random

Array = NDArray[np.float32]

_PIXEL = keyed.stream_words("pixel")


@dataclass
class Scratch:
    """What a thread writes to between the input and the output: an image and three planes."""

    image: Array
    ring: Array
    dark: Array
    rows: Array

    @classmethod
    def of(cls, channels: int, height: int, width: int) -> Scratch:
        planes = empty((channels + 3, height, width), torch.float32).numpy()
        return cls(planes[:channels], *planes[channels:])


@dataclass
class Batch:
    """Images (B, C, H, W) and masks (B, 1, H, W), the parameters as numbers, and the halves of all kernels."""

    image: Tensor
    mask: Tensor
    number: dict[str, Any]
    light: Array
    halo: Array
    hole: Array
    blur: Array
    spots: Array
    exact: bool
    out: Tensor


def degrade(image: Tensor, p: Parameters, mask: Tensor, *, exact: bool) -> Tensor:
    """(B, C, H, W) of any type -> new float32 tensor; mask and floating parameters are float32."""
    batch, channels, height, width = image.shape
    out = empty(image.shape, torch.float32)
    work = _prepare(image, p, mask, exact, out)
    rows = itertools.count()  # taking the next is one step of the interpreter, so no two threads take the same

    def some() -> None:
        scratch = Scratch.of(channels, height, width)
        while (i := next(rows)) < batch:
            _degrade(work, i, scratch)

    threads = min(torch.get_num_threads(), batch)
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            for done in [pool.submit(some) for _ in range(threads)]:
                done.result()
    elif batch:
        some()
    return out


def _prepare(image: Tensor, p: Parameters, mask: Tensor, exact: bool, out: Tensor) -> Batch:
    side = min(image.shape[-2:])
    _check(p, side)  # a loop that leaves its array is not stopped

    def halves(kernel: Tensor, sigma: Tensor) -> Array:
        return taps(kernel, sigma, side, reach_of(stages.largest(kernel), side)).numpy()

    wide = torch.cat([p["halo_kernel"][:, None], p["hole_kernel"]], 1)
    wide_halves = halves(wide, torch.stack([p["halo_sigma"], p["hole_sigma"], p["hole_sigma"]], 1))
    return Batch(
        image,
        mask,
        {name: value.tolist() for name, value in p.items()},
        stages.halo_light(p["halo_color"], image.shape[1]).numpy(),
        wide_halves[:, 0],
        wide_halves[:, 1:],
        halves(p["blur_kernel"], p["blur_sigma"][:, None].expand(-1, 2)),
        halves(p["spot_kernel"], p["spot_sigma"][..., None].expand(-1, -1, 2)),
        exact,
        out,
    )


def _check(p: Parameters, side: int) -> None:
    for name, value in p.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"parameter {name!r} must be finite")
    widest = stages.largest(p["blur_kernel"])
    if reach_of(widest, side) >= side:
        raise ValueError(f"parameter 'blur_kernel' must be within what {side} pixels can mirror; it holds {widest:g}")


def _degrade(work: Batch, i: int, scratch: Scratch) -> None:
    types = work.number["type"][i]
    source = work.image[i].to(torch.float32).contiguous().numpy()
    mask, out = work.mask[i, 0].contiguous().numpy(), work.out[i].numpy()
    image = scratch.image
    if types & ILLUMINATION:
        _light(work, i, source, mask, scratch)
    elif types & SPOTS:
        np.copyto(image, source)
    else:
        image = source
    if types & SPOTS:
        _spots(work, i, image)
    if types & BLUR:
        x, y = (_own(half) for half in work.blur[i])
        chain.blur(image, x, y, mask, out)
        _noise(work, i, mask, out)
    else:
        chain.times(image, mask, out)


def _light(work: Batch, i: int, source: Array, mask: Array, scratch: Scratch) -> None:
    number, image = {name: values[i] for name, values in work.number.items()}, scratch.image
    side = min(mask.shape)
    b, c, s = (np.float32(number[name]) for name in ("brightness", "contrast", "saturation"))
    mean = chain.colour(source, b, c, s, image)
    amount = number["halo_strength"] * mean
    if amount:
        inner, outer = sorted((number["halo_inner"] * side, number["halo_outer"] * side))
        step = _step(work, number["halo_kernel"] * side)
        kernel = _own(work.halo[i])
        _field(number["halo_center"], inner, outer, (kernel, kernel), step, scratch, scratch.ring)
        mean = chain.halo(image, np.float32(amount) * work.light[i], scratch.ring)
    mean /= max(chain.mean_of(mask[None]), 1e-6)
    depth = number["hole_depth"] + number["hole_slope"] * mean
    if mean > number["hole_threshold"] and depth:
        step = _step(work, min(number["hole_kernel"]) * side)
        x, y = (_own(half) for half in work.hole[i])
        _field(number["hole_center"], -1.0, number["hole_radius"] * side, (x, y), step, scratch, scratch.dark)
        chain.hole(image, np.float32(depth), scratch.dark)


def _step(work: Batch, kernel: float) -> int:
    return 1 if work.exact else grid_step(kernel)


def _field(
    center: list[float], inner: float, outer: float, halves: tuple[Array, Array], step: int, s: Scratch, out: Array
) -> None:
    weights = weights_between(step).numpy()
    fields.wide_field(_pixels(center, *out.shape), inner, outer, *halves, step, weights, s.rows, out)


def _spots(work: Batch, i: int, image: Array) -> None:
    height, width = image.shape[1:]
    each = zip(*(work.number[f"spot_{name}"][i] for name in ("center", "radius", "height")), strict=True)
    for n, (center, radius, level) in enumerate(each):
        if level:
            x, y = (_own(half) for half in work.spots[i, n])
            at = _pixels(center, height, width)
            chain.spot(image, at, radius * min(height, width), np.float32(level), x, y)


def _pixels(center: list[float], height: int, width: int) -> tuple[float, float]:
    """A point in fractions of the frame as column and row; pixel i is centred at (i + 1/2) / W."""
    return center[0] * width - 0.5, center[1] * height - 0.5


def _own(half: Array) -> Array:
    """The taps that an image has of those that the batch's largest kernel has."""
    return np.ascontiguousarray(half[: max(np.count_nonzero(half), 1)])


def _noise(work: Batch, i: int, mask: Array, out: Array) -> None:
    """Adds the noise in place; outside the mask it stays black."""
    scale = work.number["noise"][i] * min(mask.shape) / REFERENCE_SIDE
    if scale:
        key = work.number["noise_key"][i]
        words = (np.uint32(word) for word in (key & 0xFFFFFFFF, key >> 32 & 0xFFFFFFFF, *_PIXEL))
        random.add_normals(out.reshape(-1), np.float32(scale), *words)
        chain.times(out, mask, out)
