"""Blurred disks and rings: the wide, smooth fields of light leaks and uneven exposure.

A disk blurred with a separable kernel and reflected borders is A_y D A_x^T: D the disk, A the blur along one axis as
a matrix, the reflections folded in. Two ways to it, equal but for interpolation:

- `disk` and `blur_field`: every pixel, differentiable in everything. What gradients and GPUs use.
- `ring_nodes` and `refine`: the rows of a hard disk are chords, so D A_x^T is a difference of two rows of A's running
  sum, and the result is smooth at the scale of its kernel (a hundred pixels and more at 512), so it is computed,
  exactly, at every `step`-th pixel only, and interpolated. Fifty times cheaper; without gradients.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional

from degrade.ops.blur import taps

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
    height, width = field.shape[-2:]
    side = min(height, width)
    y, x = (_blur_matrix(n, 1, kernel[:, i], sigma, side) for i, n in ((1, height), (0, width)))
    return y @ field @ x.transpose(1, 2)


def ring_nodes(
    center: Tensor,
    inner: Tensor,
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
        inner: (K,) radii of the holes in the rings, fractions of the shorter side; K <= B: the first K are rings, the
            others disks.
        outer: (B,) radii.
        kernel, sigma: as for `blur_field`.
        size: height and width of the frame in pixels.
        step: a power of two.
        reach: pixels to either side of the centre that no kernel exceeds.

    Returns:
        (B, rows, columns), exact values, for `refine`, which interpolates them.

    >>> center, radius, kernel = torch.tensor([[0.5, 0.4]]), torch.tensor([0.3]), torch.tensor([[0.3, 0.4]])
    >>> slow = blur_field(disk(center, radius, (256, 320)), kernel, kernel[:, 0])
    >>> nodes = ring_nodes(center, radius[:0], radius, kernel, kernel[:, 0], (256, 320), step=4, reach=64)
    >>> bool((refine(nodes[0], (256, 320), step=4) - slow[0]).abs().max() < 0.01)
    True
    """
    side = min(size)
    y = _blur_matrix(size[0], step, kernel[:, 1], sigma, side, reach)
    running = _running_sums(size[1], step, kernel[:, 0], sigma, side, reach)
    offset = torch.arange(len(running), device=y.device)[:, None] * running.shape[1]

    def chords_blurred(radius: Tensor) -> Tensor:
        count = len(radius)
        first, last = (column + offset[:count] for column in _chords(center[:count], radius, size))
        picked = running.flatten(0, 1).index_select(0, last.flatten())
        picked.sub_(running.flatten(0, 1).index_select(0, first.flatten()))
        return picked.view(count, size[0], -1)

    rows = chords_blurred(outer)
    if len(inner):
        rows[: len(inner)] -= chords_blurred(inner)
    # y is banded: a block of its rows needs only the pixels within reach
    blocks = []
    for start in range(0, y.shape[1], -(-y.shape[1] // _BLOCKS)):
        stop = min(start + -(-y.shape[1] // _BLOCKS), y.shape[1])
        first, last = ((node - (2 if step > 1 else 0)) * step for node in (start, stop - 1))
        low, high = max(min(first, size[0] - 1) - reach, 0), min(max(last, 0) + reach + 1, size[0])
        blocks.append(y[:, start:stop, low:high] @ rows[:, low:high])
    return torch.cat(blocks, dim=1).flip(2)


def refine(nodes: Tensor, size: tuple[int, int], step: int) -> Tensor:
    """(rows, columns) from `ring_nodes` -> (H, W): the values between interpolated, cubic and smooth."""
    if step == 1:
        return nodes
    for axis in (1, 0):  # rows last: they are contiguous, and there are few of them until then
        for _ in range(step.bit_length() - 1):
            nodes = _refine(nodes, axis)
    return nodes[2 : 2 + size[0], 2 : 2 + size[1]]


@functools.cache
def weights_between(step: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(step, 6): `refine` as weights: pixel i is made of the nodes i // step to i // step + 5 of `ring_nodes`.

    >>> weights_between(2)
    tensor([[ 0.0000,  0.0000,  1.0000,  0.0000,  0.0000,  0.0000],
            [ 0.0000, -0.0625,  0.5625,  0.5625, -0.0625,  0.0000]])
    """
    nodes = torch.eye(6, dtype=dtype)  # six nodes, each once 1
    for _ in range(step.bit_length() - 1):
        nodes = _refine(nodes, 0)
    return nodes[2 : 2 + step].contiguous()


def _chords(center: Tensor, radius: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """First column of a disk in every row (B, H), and the one after its last; equal where the row misses it."""
    dx, dy = offsets(center, size)
    half_square = _rim_square(radius[:, None] * min(size)) - dy**2
    half = half_square.clamp_min(0).sqrt()
    middle = -dx[:, :1]
    first = (middle - half).ceil().clamp(0, size[1])
    last = ((middle + half).floor() + 1).clamp(0, size[1])
    return first.long(), torch.where(half_square < 0, first, torch.maximum(first, last)).long()


def _running_sums(length: int, step: int, kernel: Tensor, sigma: Tensor, side: int, reach: int) -> Tensor:
    """(B, length + 1, outputs): how much of the columns before column c the blur puts into each output.

    **The outputs come in reverse**, and a constant per output is left out: only differences of rows mean anything.
    With S the running sum of the kernel, S(0) = 1/2 and so on up to 1, output o has S(c - o) of the columns before c,
    and of their reflections S(o + c) and S(c - 2 (length - 1) + o); the edges have none. Each is a set of windows on
    the one vector S; the reflections are corners.
    """
    first, count = _outputs(length, step)
    last = first + (count - 1) * step
    longest = 2 * length + 4 * step
    half = taps(kernel, sigma, side, longest)
    sums = functional.pad(
        torch.cat([half[:, 1:].flip(1), half], dim=1).cumsum(1), (1, 0)
    )  # S(t) is sums[:, longest + t]

    def windows(start: int, columns: int, outputs: int) -> Tensor:
        return sums.as_strided((len(sums), columns, outputs), (sums.shape[1], 1, step), longest + start)

    running = windows(-last, length + 1, count).clone(memory_format=torch.contiguous_format)
    columns = min(reach + 2 * step + 1, length)
    outputs = min(columns // step + 4, count)
    running[:, 1 : columns + 1, count - outputs :] += windows(first + 1, columns, outputs).flip(2).sub_(1)
    running[:, 0, count - outputs :] += windows(first + 1, 1, outputs)[:, 0].flip(1).sub_(1)
    start = length - columns - 2 * (length - 1) + last - (outputs - 1) * step
    running[:, length - columns : length, :outputs] += windows(start, columns, outputs).flip(2)
    running[:, length, :outputs] += windows(start + columns - 1, 1, outputs)[:, 0].flip(1)
    return running


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


def _outputs(length: int, step: int) -> tuple[int, int]:
    """The pixel of the first output, and how many there are: with `step` above 1, two more at either end."""
    return (0, length) if step == 1 else (-2 * step, -(-(length - 1) // step) + 5)


def _blur_matrix(length: int, step: int, kernel: Tensor, sigma: Tensor, side: int, reach: int | None = None) -> Tensor:
    """(B, outputs, length): the blur of one axis.

    Outputs may lie beyond the ends. The taps that fall outside the frame are folded back in, as a border reflected
    without repeating the edge does: A_ij = w(i - j) + w(i + j) + w(2 (length - 1) - i - j), the first and the last
    column without their own reflection. Each term is a set of windows on the one vector of taps; the reflections are
    corners of `reach` pixels, if that is known.
    """
    first, count = _outputs(length, step)
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
