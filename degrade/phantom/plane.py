"""What phantoms share: pixel coordinates, keyed smooth noise, blur, and drawing a batch one key at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from degrade.rng import keyed


def each(draw: Callable[[Tensor, int], tuple[Tensor, Tensor]], keys: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Twice (B, 1, N, N) on the keys' device: the two planes (N, N) that `draw` makes of each key (1,) on the CPU.

    Raises:
        ValueError: `size` is below 32, or the keys are not a row.
    """
    if keys.ndim != 1:
        raise ValueError(f"keys must have shape (B,); got {tuple(keys.shape)}")
    if size < 32:
        raise ValueError(f"size must be at least 32; got {size}")
    # one at a time: sums and exponentials of a batch could round otherwise than those of one
    keys_here = keys.cpu()
    drawn = [draw(keys_here[index : index + 1], size) for index in range(len(keys))]
    image, mask = (
        torch.stack([pair[part] for pair in drawn])[:, None] if drawn else torch.zeros(0, 1, size, size)
        for part in (0, 1)
    )
    return image.to(keys.device), mask.to(keys.device)


def parameters(key: Tensor, prefix: str, ranges: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """A uniform number in each named range, from the streams `prefix`.name of one key (1,)."""
    drawn = keyed.uniforms(key, {f"{prefix}.{name}": 1 for name in ranges})
    return {name: low + (high - low) * float(drawn[f"{prefix}.{name}"]) for name, (low, high) in ranges.items()}


def axes(size: int) -> tuple[Tensor, Tensor]:
    """x (1, N) and y (N, 1) of the pixels' centers, in fractions of the frame."""
    axis = (torch.arange(size) + 0.5) / size
    return axis[None], axis[:, None]


def noise(key: Tensor, stream: str, lattice: float | tuple[int, int], size: int) -> Tensor:
    """(N, N) smooth noise of standard deviation about one: keyed numbers on a lattice over the frame, interpolated.

    The lattice is given by the size of its cells, a fraction of the frame, or as rows and columns.
    """
    rows, columns = lattice if isinstance(lattice, tuple) else (round(1 / lattice) + 1,) * 2
    values = keyed.uniforms(key, {stream: rows * columns})[stream].float().view(1, 1, rows, columns)
    values = (values - 0.5) * 4.6  # uniform numbers, smoothed, of deviation one
    if max(rows, columns) > size:
        return F.interpolate(values, (size, size), mode="area")[0, 0]
    return F.interpolate(values, (size, size), mode="bicubic", align_corners=False)[0, 0]


def texture(key: Tensor, prefix: str, octaves: Mapping[float, float], size: int) -> Tensor:
    """(N, N) sum of noises: cell size -> standard deviation."""
    total = torch.zeros(size, size)
    for cell, deviation in octaves.items():
        total += deviation * noise(key, f"{prefix}.{cell}", cell, size)
    return total


def blur(plane: Tensor, deviation: float) -> Tensor:
    """(..., N, N) under a Gaussian of that many pixels, in two passes."""
    radius = max(1, math.ceil(3 * deviation))
    offset = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (offset / max(deviation, 1e-3)) ** 2)
    kernel = (kernel / kernel.sum()).float()
    padded = F.pad(plane.reshape(-1, 1, *plane.shape[-2:]), (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1)).view(plane.shape)
