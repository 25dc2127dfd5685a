"""`sampling.define` on a CPU as one loop over the batch: the definition's arithmetic, and so its bits.

A batch's parameters are a few thousand numbers. By operations on arrays they cost most of a millisecond, spent waiting
for these operations' code: the pixels of the batch before have driven it out of the caches.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.jit.compiler import strict_inner_kernel, strict_kernel
from degrade.models.fundus.constants import TINTS, WIDEST
from degrade.models.fundus.streams import streams, type_ends
from degrade.models.fundus.table import PLAIN
from degrade.ops.constants import REFERENCE_SIDE
from degrade.parameters import Parameters
from degrade.rng import keyed
from degrade.rng.cpu import fold_words, uniform_words, words_of
from degrade.rng.streams import stream_words
from degrade.settings import Value, ends

Array = NDArray[np.float32]

_INWARD: Any = np.bool_(True)  # a plain True would have `_grid` compiled once more
_OUTWARD: Any = np.bool_(False)
Ends = NDArray[np.float64]
"""The two ends of each of some settings' ranges, (N, 2)."""

_RANGES = (
    PLAIN,
    ("halo_tint", "halo_offset", "halo_diameter", "halo_spread"),
    ("hole_diameter", "hole_x", "hole_y", "hole_kernel"),
    ("blur_sigma", "blur_kernel"),
    ("spot_count", "spot_radius", "spot_kernel"),
)

_NAMES = (
    *("halo_color", "halo_center", "halo_inner", "halo_outer", "halo_kernel", "halo_sigma"),
    *("hole_center", "hole_radius", "hole_kernel", "hole_sigma"),
    *("spot_center", "spot_radius", "spot_height", "spot_kernel", "spot_sigma"),
    *("blur_sigma", "blur_kernel"),
    *("type", "spot_count", "noise_key"),
)
"""Names of what `_draw` returns, behind the parameters that are drawn as they are."""


def draw(settings: Mapping[str, Value], keys: Tensor, height: int, width: int) -> Parameters:
    """As `sampling.define`."""
    scale = REFERENCE_SIDE / min(height, width)
    plain, *others = _draw(words_of(keys), *_plan(tuple(settings.items())), (width * scale, height * scale))
    named = [*zip(PLAIN, plain, strict=True), *zip(_NAMES, others, strict=True)]
    return {name: torch.from_numpy(values) for name, values in named}


@functools.lru_cache(maxsize=64)
def _plan(settings: tuple[tuple[str, Value], ...]) -> tuple[Any, Any, Any, Ends, Any]:
    """What `_draw` asks for between keys and frame: all that depends on the settings alone."""
    values = dict(settings)
    counters, wanted = keyed.layout(tuple(streams(values).items()), torch.device("cpu"))
    ranges = tuple(np.array([ends(values[name]) for name in names], np.float64) for names in _RANGES)
    noise = np.array([keyed.string_id("noise"), *stream_words("fold_in")], np.int64).view(np.uint64)
    return words_of(counters), wanted.numpy(), noise, np.array(type_ends(values), np.float64), ranges


@strict_kernel
def _draw(
    keys: Any, counters: Any, wanted: Any, noise: Any, types: Ends, ranges: tuple[Ends, ...], frame: tuple[float, float]
) -> tuple[Any, ...]:
    """The parameters of keys (B,): the plain ones (P, B), then those of `_NAMES`.

    Args:
        counters, wanted: of the uniform numbers, whose streams `streams` lists.
        noise: the word that is folded into the noise's keys, and the two of the stream that does it.
        types: the ends of what `type` is drawn from.
        ranges: the ends of what is drawn in each group, as `_RANGES` says.
        frame: width and height in pixels of 512.
    """
    u = uniform_words(keys, counters, wanted)
    plain, halo, hole, blur, spots = ranges
    noise_keys = fold_words(keys, noise[:1], noise[1], noise[2]).view(np.int64)
    rest = 14 + len(plain)
    made = (_plain(u[:, 14:rest], plain),)
    return (
        made
        + _halo(u[:, 1:6], halo, frame)
        + _hole(u[:, 6:11], hole, frame)
        + _spots(u[:, rest:], spots, frame)
        + _blur(u[:, 11:14], blur)
        + (_counts(types, u[:, 0]), _counts(spots[0], u[:, rest]), noise_keys)
    )


@strict_inner_kernel
def _plain(u: Any, ranges: Ends) -> Array:
    made = np.empty((len(ranges), len(u)), np.float32)
    for n in range(len(ranges)):
        for i in range(len(u)):
            made[n, i] = _uniform(ranges[n], u[i, n])
    return made


@strict_inner_kernel
def _halo(u: Any, ranges: Ends, frame: tuple[float, float]) -> tuple[Array, ...]:
    """From the numbers of tint, x, y, diameter and spread."""
    batch = len(u)
    color, center, kernels, sigma = _rows(batch, 3), _rows(batch, 2), _row(batch), _row(batch)
    inners, outers = _row(batch), _row(batch)
    side = min(frame)
    for i in range(batch):
        tint = _whole(ranges[0, 0], ranges[0, 1], u[i, 0])
        for c in range(3):
            color[i, c] = TINTS[int(tint)][c] / 255
        square, offset, shift = 0.0, 0.0, -math.inf
        for axis in range(2):
            size = frame[axis]
            at = size / 2 + _grid(ranges[1], size, u[i, 1 + axis], _INWARD)
            center[i, axis] = (at + 0.5) / size
            far = max(at, size - at)
            square += far * far
            offset = max(offset, abs(at - size / 2))
            shift = max(shift, at - size / 2)
        inner = side * _uniform(ranges[2], u[i, 3])
        spread = 1 + (2 * math.floor(math.sqrt(square)) / side - 1) * _uniform(ranges[3], u[i, 4])
        outer = side * spread + abs(shift + (2 / 3 - min(max(tint, 0.0), 1.0) / 6) * max(frame))
        kernel = min(float(math.floor(abs(side + 2 * offset - inner))), WIDEST * side - 1)
        inners[i], outers[i] = math.floor(inner / 2) / side, math.floor(outer / 2) / side
        kernels[i], sigma[i] = _odd(kernel) / side, max(2 * kernel / 3, 1.0) / side
    return color, center, inners, outers, kernels, sigma


@strict_inner_kernel
def _hole(u: Any, ranges: Ends, frame: tuple[float, float]) -> tuple[Array, ...]:
    """From the numbers of diameter, x, y, and the kernel's width and height."""
    batch = len(u)
    center, radius, kernels, sigma = _rows(batch, 2), _row(batch), _rows(batch, 2), _row(batch)
    side = min(frame)
    for i in range(batch):
        diameter = _grid(ranges[0], frame[0], u[i, 0], _OUTWARD)
        widest = 0.0
        for axis in range(2):
            size = frame[axis]
            first, last = ranges[1 + axis, 0] * size, ranges[1 + axis, 1] * size
            at = first if first == last else _whole(math.floor(first), math.floor(last), u[i, 1 + axis])
            center[i, axis] = (at + 0.5) / size
            kernel = min(_grid(ranges[3], diameter, u[i, 3 + axis], _OUTWARD), WIDEST * side - 1)
            kernels[i, axis] = _odd(kernel) / side
            widest = max(widest, kernel)
        radius[i], sigma[i] = math.floor(diameter / 2) / side, max(0.8 * widest, 1.0) / side
    return center, radius, kernels, sigma


@strict_inner_kernel
def _spots(u: Any, ranges: Ends, frame: tuple[float, float]) -> tuple[Array, ...]:
    """From the numbers of the count, then N radii, N centers and N kernels' widths and heights."""
    batch, count = len(u), u.shape[1] // 5
    center, kernels = np.empty((batch, count, 2), np.float32), np.empty((batch, count, 2), np.float32)
    radii, heights, sigmas = _rows(batch, count), _rows(batch, count), _rows(batch, count)
    side = min(frame)
    for i in range(batch):
        present = _whole(ranges[0, 0], ranges[0, 1], u[i, 0])
        for n in range(count):
            radius = _grid(ranges[1], side, u[i, 1 + n], _INWARD)
            q = radius / 25
            sigma = 2 * (5 + 20 * radius / 25)
            height = (14 / 25 + 1 - q) * (1 - 2 ** (-(0.5 + q) * 0.3 * q * _LOG2E))
            for axis in range(2):
                size = frame[axis]
                at = _whole(radius + 1, math.floor(size - (radius + 1)), u[i, 1 + count + 2 * n + axis])
                center[i, n, axis] = (at + 0.5) / size
                kernel = _grid(ranges[2], sigma, u[i, 1 + 3 * count + 2 * n + axis], _OUTWARD)
                kernels[i, n, axis] = _odd(kernel) / side
            radii[i, n], sigmas[i, n] = math.floor(radius / 2) / side, sigma / side
            heights[i, n] = height if n < present else 0.0
    return center, radii, heights, kernels, sigmas


@strict_inner_kernel
def _blur(u: Any, ranges: Ends) -> tuple[Array, ...]:
    """From the numbers of sigma, and of the kernel's width and height."""
    sigmas, kernels = _row(len(u)), _rows(len(u), 2)
    for i in range(len(u)):
        sigma = _uniform(ranges[0], u[i, 0]) * REFERENCE_SIDE
        sigmas[i] = sigma / REFERENCE_SIDE
        for axis in range(2):
            kernels[i, axis] = _odd(_grid(ranges[1], sigma, u[i, 1 + axis], _OUTWARD)) / REFERENCE_SIDE
    return sigmas, kernels


_LOG2E = math.log2(math.e)


@strict_inner_kernel
def _row(batch: int) -> Array:
    return np.empty(batch, np.float32)


@strict_inner_kernel
def _rows(batch: int, count: int) -> Array:
    return np.empty((batch, count), np.float32)


@strict_inner_kernel
def _counts(ends: Any, u: Any) -> NDArray[np.int64]:
    made = np.empty(len(u), np.int64)
    for i in range(len(u)):
        made[i] = int(_whole(ends[0], ends[1], u[i]))
    return made


@strict_inner_kernel
def _uniform(ends: Ends, u: float) -> Any:
    return ends[0] + (ends[1] - ends[0]) * u


@strict_inner_kernel
def _whole(low: float, high: float, u: float) -> float:
    return low + float(math.floor((high - low + 1) * u))


@strict_inner_kernel
def _grid(ends: Ends, unit: float, u: float, inward: bool) -> Any:
    low, high = ends[0], ends[1]
    if low == high:
        return low * unit
    first = low * unit
    return _whole(float(math.ceil(first) if inward else math.floor(first)), float(math.floor(high * unit)), u)


@strict_inner_kernel
def _odd(number: float) -> float:
    return number + 1 if number % 2 == 0 else number
