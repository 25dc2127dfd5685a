"""The Cofe-Net degradations of a batch on a CPU without gradients: one image at a time, a thread to each core.

What is small is made for the whole batch by the functions that every route uses: the parameters, and all kernels' taps.
The rest is loops over one image that need no memory but a few planes, kept from image to image. An image's numbers are
the same alone and in any batch, with any number of threads.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade import keyed
from degrade.base import Parameters
from degrade.functional.blur import REFERENCE_SIDE, reach_of
from degrade.functional.fields import weights_between
from degrade.fundus import stages
from degrade.fundus.parts import grid_step
from degrade.memory import empty
from degrade.numba.fields import taps
from degrade.numba.images import degrade_images

_MASK = 0xFFFFFFFF


def degrade(image: Tensor, p: Parameters, mask: Tensor, *, exact: bool) -> Tensor:
    """(B, C, H, W) of any type -> new float32 tensor; mask and floating parameters are float32."""
    batch, channels, height, width = image.shape
    out = empty(image.shape, torch.float32)
    if not batch:
        return out
    pictures, masks = (tensor.to(torch.float32).contiguous().numpy() for tensor in (image, mask))
    small = _small(p, channels, (height, width), exact)
    threads = max(min(torch.get_num_threads(), batch), 1)
    scratch = empty((threads, channels + 3, height, width), torch.float32).numpy()
    failures: list[BaseException] = []

    def some(first: int) -> None:
        try:
            degrade_images(first, threads, pictures, masks, scratch[first], out.numpy(), *small)
        except BaseException as error:  # to be raised where the call was made
            failures.append(error)

    others = [threading.Thread(target=some, args=(first,)) for first in range(1, threads)]
    for other in others:
        other.start()
    some(0)
    for other in others:
        other.join()
    if failures:
        raise failures[0]
    return out


def _small(p: Parameters, channels: int, size: tuple[int, int], exact: bool) -> tuple[NDArray[Any], ...]:
    """What `degrade_images` asks for after its output, in its order."""
    height, width = size
    side = min(size)
    _check(p, side)  # a loop that leaves its array is not stopped

    def halves(kernel: Tensor, sigma: Tensor) -> NDArray[Any]:
        made = np.empty((kernel.numel(), reach_of(stages.largest(kernel), side) + 1), np.float32)
        taps(kernel.double().flatten().numpy(), sigma.double().flatten().numpy(), side, made)
        return made.reshape(*kernel.shape, -1)

    def columns(*values: Tensor) -> NDArray[Any]:
        return torch.stack([value.double() for value in values], -1).numpy()

    def pixels(center: Tensor) -> tuple[Tensor, Tensor]:
        """Fractions of the frame as columns and rows; pixel i is centred at (i + 1/2) / W."""
        return center[..., 0].double() * width - 0.5, center[..., 1].double() * height - 0.5

    def step(kernel: float) -> int:
        return 0 if exact else grid_step(kernel * side).bit_length() - 1

    radii = p["halo_inner"].double() * side, p["halo_outer"].double() * side
    wide = torch.cat([p["halo_kernel"][:, None], p["hole_kernel"]], 1)
    wide_halves = halves(wide, torch.stack([p["halo_sigma"], p["hole_sigma"], p["hole_sigma"]], 1))
    narrowest = torch.stack([p["halo_kernel"], p["hole_kernel"].amin(1)], 1).tolist()
    steps = np.array([[step(kernel) for kernel in pair] for pair in narrowest], np.int64)
    powers = int(steps.max()) + 1
    weights = np.zeros((powers, 1 << (powers - 1), 6), np.float32)
    for power in range(powers):
        weights[power, : 1 << power] = weights_between(1 << power).numpy()
    words = np.array(
        [(key & _MASK, key >> 32 & _MASK, *keyed.stream_words("pixel")) for key in p["noise_key"].tolist()], np.uint32
    )
    return (
        p["type"].numpy(),
        torch.stack([p["brightness"], p["contrast"], p["saturation"]], 1).numpy(),
        stages.halo_light(p["halo_color"], channels).contiguous().numpy(),
        columns(*pixels(p["halo_center"]), torch.minimum(*radii), torch.maximum(*radii), p["halo_strength"]),
        columns(
            *pixels(p["hole_center"]),
            p["hole_radius"].double() * side,
            *(p[name] for name in ("hole_depth", "hole_slope", "hole_threshold")),
        ),
        columns(*pixels(p["spot_center"]), p["spot_radius"].double() * side, p["spot_height"]),
        steps,
        np.ascontiguousarray(wide_halves[:, 0]),
        np.ascontiguousarray(wide_halves[:, 1:]),
        halves(p["spot_kernel"], p["spot_sigma"][..., None].expand(-1, -1, 2)),
        halves(p["blur_kernel"], p["blur_sigma"][:, None].expand(-1, 2)),
        weights,
        (p["noise"].double() * side / REFERENCE_SIDE).numpy(),
        words,
    )


def _check(p: Parameters, side: int) -> None:
    for name, value in p.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ValueError(f"parameter {name!r} must be finite")
    widest = stages.largest(p["blur_kernel"])
    if reach_of(widest, side) >= side:
        raise ValueError(f"parameter 'blur_kernel' must be within what {side} pixels can mirror; it holds {widest:g}")
