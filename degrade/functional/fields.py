"""Blurred disks and rings: the wide, smooth fields of light leaks and uneven exposure.

A disk blurred with a separable kernel and reflected borders is A_y D A_x^T: D the disk, A the blur along one axis as
a matrix, the reflections folded in. Two ways to it, equal but for interpolation:

- `disk` and `blur_field`: every pixel, differentiable in everything. What gradients and GPUs use.
- `disk_field`: the rows of a hard disk are chords, so D A_x^T is a difference of two rows of A's running sum, and the
  result is smooth at the scale of its kernel (a hundred pixels and more at 512), so it is computed, exactly, at every
  `step`-th pixel only, and interpolated. Fifty times cheaper; without gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from degrade.functional.blur import taps


def disk(center: Tensor, radius: Tensor, size: tuple[int, int], softness: float = 0.0) -> Tensor:
    """Disks, 1 inside and 0 outside, on the pixels of a frame.

    Args:
        center: (B, 2) as fractions of width and height; pixel i is centred at (i + 1/2) / W.
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
    """The disk as a function of the squared distance to its centre; all in pixels, broadcasting."""
    if softness == 0:
        return (squared_distance <= _rim_square(radius)).to(squared_distance.dtype)
    distance = squared_distance.clamp_min(1e-12).sqrt()  # the root has no finite slope at the very centre
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
    x = _blur_matrix(0, 1, width, kernel[:, 0], sigma, width, side)
    y = _blur_matrix(0, 1, height, kernel[:, 1], sigma, height, side)
    return y @ field @ x.transpose(1, 2)


def disk_field(
    center: Tensor, radius: Tensor, kernel: Tensor, sigma: Tensor, size: tuple[int, int], step: int
) -> Tensor:
    """A blurred hard disk: `blur_field(disk(center, radius, size), kernel, sigma)` without gradients, cheaply.

    The values at every `step`-th row and column are exact, those between interpolated. `step` is a power of
    two; 1 is exact everywhere.

    >>> center, radius, kernel = torch.tensor([[0.5, 0.4]]), torch.tensor([0.3]), torch.tensor([[0.3, 0.4]])
    >>> slow = blur_field(disk(center, radius, (256, 320)), kernel, kernel[:, 0])
    >>> fast = disk_field(center, radius, kernel, kernel[:, 0], (256, 320), step=4)
    >>> bool((fast - slow).abs().max() < 0.01)
    True
    """
    (height, width), side = size, min(size)
    # every step-th pixel, and two nodes more at either end, which the interpolation uses up
    rows, columns = (-(-(length - 1) // step) + 5 for length in size)
    x = _blur_matrix(-2 * step, step, columns, kernel[:, 0], sigma, width, side).transpose(1, 2)
    y = _blur_matrix(-2 * step, step, rows, kernel[:, 1], sigma, height, side)
    running = torch.nn.functional.pad(x.cumsum(1), (0, 0, 1, 0))
    first, last = _chords(center, radius, size)
    spread = (-1, -1, columns)
    horizontal = running.gather(1, last[..., None].expand(spread)) - running.gather(1, first[..., None].expand(spread))
    field = y @ horizontal
    while step > 1:
        field = _refine(_refine(field, 1), 2)
        step //= 2
    return field[:, 2 : 2 + height, 2 : 2 + width]


def _chords(center: Tensor, radius: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """First column of a disk in every row (B, H), and the one after its last; equal where the row misses it."""
    dx, dy = offsets(center, size)
    half_square = _rim_square(radius[:, None] * min(size)) - dy**2
    half = half_square.clamp_min(0).sqrt()
    middle = -dx[:, :1]
    first = (middle - half).ceil().clamp(0, size[1])
    last = ((middle + half).floor() + 1).clamp(0, size[1])
    return first.long(), torch.where(half_square < 0, first, torch.maximum(first, last)).long()


def _refine(field: Tensor, axis: int) -> Tensor:
    """Doubles the resolution along an axis, the two outer nodes on either side being context.

    The four-point scheme of Dubuc (1986): cubic between the nodes, exact at them, smooth when repeated. Of nodes
    -2 ... n + 1 it makes nodes -2 ... 2 (n - 1) + 2 of the finer grid, so it can be repeated.
    """
    count = field.shape[axis]
    inner = field.narrow(axis, 1, count - 3) + field.narrow(axis, 2, count - 3)
    outer = field.narrow(axis, 0, count - 3) + field.narrow(axis, 3, count - 3)
    shape = list(field.shape)
    shape[axis] = 2 * count - 5
    fine = field.new_empty(shape)
    fine[_every_second(axis, 0)] = field.narrow(axis, 1, count - 2)
    fine[_every_second(axis, 1)] = inner.mul_(9 / 16).add_(outer, alpha=-1 / 16)
    return fine


def _every_second(axis: int, start: int) -> tuple[slice, ...]:
    return (slice(None),) * axis + (slice(start, None, 2),)


def _blur_matrix(first: int, step: int, count: int, kernel: Tensor, sigma: Tensor, length: int, side: int) -> Tensor:
    """(B, count, length): the blur of one axis, for the outputs at pixels first, first + step, ...

    Outputs may lie beyond the ends. The taps that fall outside the frame are folded back in, as a border reflected
    without repeating the edge does: A_ij = w(i - j) + w(i + j) + w(2 (length - 1) - i - j), the first and the last
    column without their own reflection. Each term is a set of windows on the one vector of taps.
    """
    reach = 2 * length + 4 * step
    half = taps(kernel, sigma, side, reach)
    weights = torch.cat([half[:, 1:].flip(1), half], dim=1)  # w(t) is weights[:, reach + t]
    last = first + (count - 1) * step

    def windows(start: int) -> Tensor:
        return weights[:, reach + start :].unfold(1, length, step)[:, :count]

    mirror = 2 * (length - 1)
    matrix = windows(-last).flip(1) + windows(first) + windows(first - mirror)
    matrix[..., 0] -= windows(first)[..., 0]
    matrix[..., -1] -= windows(first - mirror)[..., -1]
    return matrix
