"""Blurred disks and rings: the wide, smooth fields of light leaks and uneven exposure.

A disk blurred with a separable kernel and reflected borders is A_y D A_x^T: D the disk, A the blur along one axis as
a matrix, the reflections folded in. Two ways to it, equal but for interpolation:

- `disk` and `blur_field`: every pixel, differentiable in everything. What gradients and GPUs use.
- `ring_nodes` and `refine`: the rows of a hard disk are chords, so D A_x^T is a difference of two rows of A's running
  sum, and the result is smooth at the scale of its kernel (a hundred pixels and more at 512), so it is computed,
  exactly, at every `step`-th pixel only, and interpolated. Fifty times cheaper; without gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from degrade.functional.blur import taps

_BLOCKS = 4  # of rows, in products with banded matrices


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
    size = (field.shape[-2], field.shape[-1])
    y, x = _blur_matrices(size, 1, kernel, sigma)
    return y @ field @ x.transpose(1, 2)


def ring_nodes(
    center: Tensor,
    inner: Tensor | None,
    outer: Tensor,
    kernel: Tensor,
    sigma: Tensor,
    size: tuple[int, int],
    step: int,
    reach: int,
) -> Tensor:
    """A blurred hard ring or disk without gradients, `blur_field(disk(outer) - disk(inner))`, at every `step`-th pixel.

    Args:
        center: (B, 2), fractions of width and height.
        inner: (B,) radius of the hole in the ring, fraction of the shorter side; None for a disk.
        outer: (B,) radius.
        kernel, sigma: as for `blur_field`.
        size: height and width of the frame in pixels.
        step: a power of two.
        reach: pixels to either side of the centre that no kernel exceeds.

    Returns:
        (B, rows, columns), exact values, for `refine`, which interpolates them.

    >>> center, radius, kernel = torch.tensor([[0.5, 0.4]]), torch.tensor([0.3]), torch.tensor([[0.3, 0.4]])
    >>> slow = blur_field(disk(center, radius, (256, 320)), kernel, kernel[:, 0])
    >>> nodes = ring_nodes(center, None, radius, kernel, kernel[:, 0], (256, 320), step=4, reach=64)
    >>> bool((refine(nodes[0], (256, 320), step=4) - slow[0]).abs().max() < 0.01)
    True
    """
    y, x = _blur_matrices(size, step, kernel, sigma, reach)
    batch, nodes, width = x.shape
    running = functional.pad(x.transpose(1, 2).cumsum(1), (0, 0, 1, 0)).view(batch * (width + 1), nodes)
    offset = torch.arange(batch, device=x.device)[:, None] * (width + 1)

    def chords_blurred(radius: Tensor) -> Tensor:
        first, last = _chords(center, radius, size)
        picked = running.index_select(0, (last + offset).flatten())
        return picked.sub_(running.index_select(0, (first + offset).flatten()))

    rows = chords_blurred(outer)
    if inner is not None:
        rows -= chords_blurred(inner)
    rows = rows.view(batch, size[0], nodes)
    # y is banded: a block of its rows needs only the pixels within reach
    blocks = []
    for start in range(0, y.shape[1], -(-y.shape[1] // _BLOCKS)):
        stop = min(start + -(-y.shape[1] // _BLOCKS), y.shape[1])
        first, last = ((node - (2 if step > 1 else 0)) * step for node in (start, stop - 1))
        low, high = max(min(first, size[0] - 1) - reach, 0), min(max(last, 0) + reach + 1, size[0])
        blocks.append(y[:, start:stop, low:high] @ rows[:, low:high])
    return torch.cat(blocks, dim=1)


def refine(nodes: Tensor, size: tuple[int, int], step: int) -> Tensor:
    """(rows, columns) from `ring_nodes` -> (H, W): the values between interpolated, cubic and smooth."""
    if step == 1:
        return nodes
    for axis in (1, 0):  # rows last: they are contiguous, and there are few of them until then
        for _ in range(step.bit_length() - 1):
            nodes = _refine(nodes, axis)
    return nodes[2 : 2 + size[0], 2 : 2 + size[1]]


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


def _blur_matrices(
    size: tuple[int, int], step: int, kernel: Tensor, sigma: Tensor, reach: int | None = None
) -> tuple[Tensor, Tensor]:
    """(B, rows, H) and (B, columns, W): the blur of either axis, for the outputs at every `step`-th pixel.

    With `step` above 1 there are two more outputs at either end, which the interpolation uses up.
    """
    height, width = size
    side = min(size)
    if height == width:
        kernels, sigmas = torch.cat([kernel[:, 1], kernel[:, 0]]), torch.cat([sigma, sigma])
        y, x = _blur_matrix(width, step, kernels, sigmas, side, reach).chunk(2)
        return y, x
    y = _blur_matrix(height, step, kernel[:, 1], sigma, side, reach)
    return y, _blur_matrix(width, step, kernel[:, 0], sigma, side, reach)


def _blur_matrix(length: int, step: int, kernel: Tensor, sigma: Tensor, side: int, reach: int | None) -> Tensor:
    """(B, outputs, length): the blur of one axis.

    Outputs may lie beyond the ends. The taps that fall outside the frame are folded back in, as a border reflected
    without repeating the edge does: A_ij = w(i - j) + w(i + j) + w(2 (length - 1) - i - j), the first and the last
    column without their own reflection. Each term is a set of windows on the one vector of taps; the reflections are
    corners of `reach` pixels, if that is known.
    """
    first, count = (0, length) if step == 1 else (-2 * step, -(-(length - 1) // step) + 5)
    longest = 2 * length + 4 * step
    half = taps(kernel, sigma, side, longest)
    weights = torch.cat([half[:, 1:].flip(1), half], dim=1)  # w(t) is weights[:, longest + t]
    last = first + (count - 1) * step
    mirror = 2 * (length - 1)

    def windows(start: int) -> Tensor:
        return weights[:, longest + start :].unfold(1, length, step)[:, :count]

    before, after = windows(first), windows(first - mirror)
    matrix = windows(-last).flip(1)
    columns = length if reach is None else min(reach + 2 * step + 1, length)
    rows = count if reach is None else min(columns // step + 4, count)
    matrix[:, :rows, 1:columns] += before[:, :rows, 1:columns]
    matrix[:, count - rows :, length - columns : -1] += after[:, count - rows :, length - columns : -1]
    return matrix
