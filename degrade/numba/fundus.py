"""The Cofe-Net degradations of a batch on a CPU without gradients: one image at a time, a thread to each core.

What is small is made for the whole batch by the functions that every route uses: the parameters, and all kernels' taps.
The rest is loops over one image that need no memory but a few planes, kept from image to image. An image's numbers are
the same alone and in any batch, with any number of threads.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade import keyed
from degrade.base import Parameters, check_values
from degrade.functional.blur import REFERENCE_SIDE, reach_of
from degrade.functional.fields import weights_between
from degrade.fundus import stages
from degrade.fundus.parts import grid_step
from degrade.memory import empty
from degrade.numba.fields import taps
from degrade.numba.images import degrade_images
from degrade.numba.threads import share, threads_for

_MASK = 0xFFFFFFFF


def degrade(image: Tensor, p: Parameters, mask: Tensor, *, exact: bool) -> Tensor:
    """(B, C, H, W) of any type -> new float32 tensor; mask and floating parameters are float32.

    ValueError for images that are not in [0, 1].
    """
    batch, channels, height, width = image.shape
    out = empty(image.shape, torch.float32)
    if not batch:
        return out
    pictures, masks = (tensor.to(torch.float32).contiguous().numpy() for tensor in (image, mask))
    small = _small(p, channels, (height, width), exact)
    threads = threads_for(batch)
    scratch = empty((threads, 2, height, width), torch.float32).numpy()
    suspicious = np.zeros(batch, np.bool_)
    work = (pictures, pictures.view(np.uint32), masks, suspicious, out.numpy())
    share(lambda first: degrade_images(first, threads, scratch[first], *work, *small), threads)
    if suspicious.any():
        check_values(image)
    return out


def _small(parameters: Parameters, channels: int, size: tuple[int, int], exact: bool) -> tuple[NDArray[Any], ...]:
    """What `degrade_images` asks for after its output, in its order."""
    height, width = size
    side = min(size)
    p = {name: value.detach().numpy() for name, value in parameters.items()}
    _check(p, side)  # a loop that leaves its array is not stopped

    def halves(kernel: NDArray[Any], sigma: NDArray[Any]) -> NDArray[Any]:
        made = np.empty((kernel.size, reach_of(_largest(kernel), side) + 1), np.float32)
        taps(_doubles(kernel), _doubles(np.broadcast_to(sigma, kernel.shape)), side, made)
        return made.reshape(*kernel.shape, -1)

    def columns(*values: NDArray[Any]) -> NDArray[Any]:
        return np.stack(values, -1, dtype=np.float64)

    def pixels(center: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Fractions of the frame as columns and rows; pixel i is centred at (i + 1/2) / W."""
        return center[..., 0] * np.float64(width) - 0.5, center[..., 1] * np.float64(height) - 0.5

    def cells(fractions: NDArray[Any]) -> NDArray[Any]:
        return fractions * np.float64(side)

    def step(kernel: float) -> int:
        return 0 if exact else grid_step(kernel * side).bit_length() - 1

    radii = cells(p["halo_inner"]), cells(p["halo_outer"])
    wide = np.concatenate([p["halo_kernel"][:, None], p["hole_kernel"]], 1)
    wide_halves = halves(wide, np.stack([p["halo_sigma"], p["hole_sigma"], p["hole_sigma"]], 1))
    narrowest = np.stack([wide[:, 0], wide[:, 1:].min(1)], 1).tolist()
    steps = np.array([[step(kernel) for kernel in pair] for pair in narrowest], np.int64)
    words = [(key & _MASK, key >> 32 & _MASK, *keyed.stream_words("pixel")) for key in p["noise_key"].tolist()]
    return (
        p["type"],
        np.stack([p["brightness"], p["contrast"], p["saturation"]], 1),
        stages.halo_light(parameters["halo_color"].detach(), channels).contiguous().numpy(),
        columns(*pixels(p["halo_center"]), np.minimum(*radii), np.maximum(*radii), p["halo_strength"]),
        columns(
            *pixels(p["hole_center"]),
            cells(p["hole_radius"]),
            *(p[name] for name in ("hole_depth", "hole_slope", "hole_threshold")),
        ),
        columns(*pixels(p["spot_center"]), cells(p["spot_radius"]), p["spot_height"]),
        steps,
        np.ascontiguousarray(wide_halves[:, 0]),
        np.ascontiguousarray(wide_halves[:, 1:]),
        halves(p["spot_kernel"], p["spot_sigma"][..., None]),
        halves(p["blur_kernel"], p["blur_sigma"][:, None]),
        _weights(int(steps.max()) + 1),
        cells(p["noise"]) / REFERENCE_SIDE,
        np.array(words, np.uint32),
    )


def _check(p: Mapping[str, NDArray[Any]], side: int) -> None:
    floating = {name: value.reshape(-1) for name, value in p.items() if value.dtype.kind == "f"}
    if not np.isfinite(np.concatenate(list(floating.values()))).all():
        name = next(name for name, value in floating.items() if not np.isfinite(value).all())
        raise ValueError(f"parameter {name!r} must be finite")
    widest = _largest(p["blur_kernel"])
    if reach_of(widest, side) >= side:
        raise ValueError(f"parameter 'blur_kernel' must be within what {side} pixels can mirror; it holds {widest:g}")


def _largest(values: NDArray[Any]) -> float:
    return float(values.max(initial=0))


def _doubles(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.astype(np.float64).reshape(-1)


@functools.cache
def _weights(powers: int) -> NDArray[np.float32]:
    """`weights_between` of the steps 1, 2, 4, ..."""
    weights = np.zeros((powers, 1 << (powers - 1), 6), np.float32)
    for power in range(powers):
        weights[power, : 1 << power] = weights_between(1 << power).numpy()
    return weights
