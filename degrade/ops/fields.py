"""Blurred disks and rings: the wide, smooth fields of light leaks and uneven exposure.

A disk blurred with a separable kernel and reflected borders is A_y D A_x^T: D the disk, A the blur along one axis as
a matrix, the reflections folded in. Every pixel, differentiable in everything. The compiled twins use that the rows of
a hard disk are chords, so that D A_x^T is a difference of two values of A's running sum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from degrade.ops.blur import taps


def disk(center: Tensor, radius: Tensor, size: tuple[int, int], softness: float = 0.0) -> Tensor:
    """Disks, 1 inside and 0 outside, on the pixels of a frame.

    Args:
        center: (B, 2) as fractions of width and height; pixel i is centered at (i + 1/2) / W.
        radius: (B,) fraction of the shorter side; the rim belongs to the disk.
        size: height and width of the frame in pixels.
        softness: width of the rim, a fraction of the shorter side, over which the disk falls off linearly; 0 is the
            hard disk of the published codes, which has no gradient in center and radius.

    Returns:
        (B, H, W)
    """
    dx, dy = offsets(center, size)
    side = min(size)
    return rim(dx[:, None, :] ** 2 + dy[:, :, None] ** 2, radius.view(-1, 1, 1) * side, softness * side)


def offsets(center: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Distance in pixels of every column (B, W) and row (B, H) from points (B, 2) in fractions of the frame."""
    height, width = size
    columns = torch.arange(width, dtype=center.dtype, device=center.device)
    rows = torch.arange(height, dtype=center.dtype, device=center.device)
    return columns - (center[:, 0, None] * width - 0.5), rows - (center[:, 1, None] * height - 0.5)


def rim(squared_distance: Tensor, radius: Tensor, softness: float) -> Tensor:
    """The disk as a function of the squared distance to its center; all in pixels, broadcasting."""
    if softness == 0:
        return (squared_distance <= _rim_square(radius)).to(squared_distance.dtype)
    distance = squared_distance.clamp_min(1e-12).sqrt()  # the root has no finite slope at the very center
    return ((radius - distance) / softness + 0.5).clamp(0, 1)


def _rim_square(radius: Tensor) -> Tensor:
    return radius**2 * (1 + 1e-6)  # whole numbers on the rim must not hang on rounding


def blur_field(field: Tensor, kernel: Tensor, sigma: Tensor) -> Tensor:
    """Blurs fields with wide truncated Gaussians, borders reflected without repeating the edge.

    Args:
        field: (B, H, W).
        kernel: (B, 2) width and height of the kernel, fractions of the shorter side, at most 2.
        sigma: (B,) standard deviation before cutting, fraction of the shorter side.
    """
    height, width = field.shape[-2:]
    side = min(height, width)
    y, x = (_blur_matrix(n, kernel[:, i], sigma, side) for i, n in ((1, height), (0, width)))
    # in float64: the caller's precision of float32 products, which may be bfloat16's, must not count, here or backwards
    exact = field.dtype if field.device.type == "mps" else torch.float64
    blurred = y.to(exact) @ field.to(exact) @ x.to(exact).transpose(1, 2)
    return blurred.to(field.dtype)


def _blur_matrix(length: int, kernel: Tensor, sigma: Tensor, side: int) -> Tensor:
    """(B, length, length): the blur of one axis.

    The taps that fall outside the frame are folded back in, as a border reflected without repeating the edge does:
    A_ij = w(i - j) + w(i + j) + w(2 (length - 1) - i - j), the first and the last column without their own
    reflection. Each term is a set of windows on the one vector of taps.
    """
    longest = 2 * length
    half = taps(kernel, sigma, side, longest)
    weights = torch.cat([half[:, 1:].flip(1), half], dim=1)  # w(t) is weights[:, longest + t]

    def windows(start: int) -> Tensor:
        return weights[:, longest + start :].unfold(1, length, 1)[:, :length]

    matrix = windows(1 - length).flip(1)
    matrix[:, :, 1:] += windows(0)[:, :, 1:]
    matrix[:, :, :-1] += windows(-2 * (length - 1))[:, :, :-1]
    return matrix
