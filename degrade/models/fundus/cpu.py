"""The Cofe-Net degradations of a batch on a CPU without gradients: one image at a time, a thread to each core.

Loops that need no memory but a few planes, kept from image to image. An image's numbers are the same alone and in any
batch, with any number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.base import Parameters, check_values
from degrade.jit.threads import share, threads_for
from degrade.memory import empty
from degrade.models.fundus.cpu_images import degrade_images
from degrade.ops.fields import weights_between
from degrade.rng import keyed

Arrays = dict[str, NDArray[Any]]

_TAKEN = (
    ("type",),
    ("brightness", "contrast", "saturation"),
    ("halo_center", "halo_inner", "halo_outer", "halo_kernel", "halo_sigma", "halo_strength", "halo_color"),
    ("hole_center", "hole_radius", "hole_kernel", "hole_sigma", "hole_depth", "hole_slope", "hole_threshold"),
    ("spot_center", "spot_radius", "spot_height", "spot_kernel", "spot_sigma"),
    ("blur_kernel", "blur_sigma"),
    ("noise", "noise_key"),
)
"""The parameters, in the order and the groups in which `degrade_images` takes them."""

_LENGTHS = {
    **dict.fromkeys(("halo_center", "hole_center", "spot_center"), (2,)),
    **dict.fromkeys(("hole_kernel", "spot_kernel", "blur_kernel"), (2,)),
    "halo_color": (3,),
}
"""How many numbers a sample has of what is more than one; spots have as many each."""


def degrade(image: Tensor, p: Parameters, mask: Tensor, *, exact: bool, drawn: bool) -> Tensor:
    """(B, C, H, W) of any type -> new float32 tensor; mask and floating parameters are float32.

    ValueError for images that are not in [0, 1], and (unless they are `drawn`) for parameters that no picture has.
    """
    batch, _, height, width = image.shape
    out = empty(image.shape, torch.float32)
    if not batch:
        return out
    arrays = {name: p[name].numpy() for group in _TAKEN for name in group} if drawn else _checked(p)
    groups = (tuple(arrays[name] for name in group) for group in _TAKEN)
    pictures, masks = (tensor.to(torch.float32).contiguous().numpy() for tensor in (image, mask))
    threads = threads_for(batch)
    scratch = empty((threads, 2, height, width), torch.float32).numpy()
    progress = np.zeros(3, np.int64)
    work: Any = (pictures, pictures.view(np.uint32), masks, out.numpy(), *groups)
    fixed: Any = (not exact, _weights(), keyed.stream_words("pixel"))
    share(lambda thread: degrade_images(progress, scratch[thread], *work, *fixed), threads)
    if progress[2]:
        side, widest = min(height, width), arrays["blur_kernel"].max()
        raise ValueError(f"parameter 'blur_kernel' must be within what {side} pixels can mirror; it holds {widest:g}")
    if progress[1]:
        check_values(image)
    return out


def _checked(p: Parameters) -> Arrays:
    """The parameters as the loops take them: nothing is missing, of another shape, or not finite."""
    arrays: Arrays = {}
    spots = p["spot_radius"].shape[1:2]
    for name in (name for group in _TAKEN for name in group):
        value = p[name].detach().numpy()
        shape = (len(value), *(spots if name.startswith("spot_") else ()), *_LENGTHS.get(name, ()))
        if value.shape != shape:
            raise ValueError(f"parameter {name!r} must have shape {shape}; got {value.shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"parameter {name!r} must be finite")
        arrays[name] = np.ascontiguousarray(value, np.int64 if name in ("type", "noise_key") else np.float32)
    return arrays


@functools.cache
def _weights() -> NDArray[np.float32]:
    """`weights_between` of the steps 1, 2, 4, ..., 128."""
    weights = np.zeros((8, 128, 6), np.float32)
    for power in range(len(weights)):
        weights[power, : 1 << power] = weights_between(1 << power).numpy()
    return weights
