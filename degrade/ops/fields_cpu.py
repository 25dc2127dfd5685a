"""Blurred disks and rings, as in `ops.fields`, as loops over one image: exact at the nodes of a grid, cubic between.

All arrays are float32 and C-contiguous; lengths are in pixels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel
from degrade.jit.rows import LINE, aligned
from degrade.ops.disk_cpu import chord, is_all_around, rows_of
from degrade.ops.rim_cpu import add_rim, phases

Array = NDArray[np.float32]


@inner_kernel
def wide_field(
    center: Any,
    inner: Any,
    outer: Any,
    softness: float,
    x_half: Array,
    y_half: Array,
    step: int,
    rows: Array,
    out: Array,
) -> Array:
    """A ring, blurred with reflected borders, as the lines that `field_rows` makes its rows of.

    Args:
        center: x and y of the center.
        inner, outer: radii; an inner one below 0 is none.
        softness: width of the rims; 0 for hard ones.
        x_half, y_half: the taps of one half of the kernel, center first.
        step: distance of the nodes at which the field is computed exactly; a power of two.
        rows: (H, W) to write to.
        out: (H, W), in whose memory the result is, if the step is above 1.

    Returns:
        (N, W): every step-th row of the field, with two more at either end; every row and no more for a step of 1.
    """
    height, width = out.shape
    first, nx = outputs(width, step)
    _, ny = outputs(height, step)
    x_extent, y_extent = extent_of(width, step), extent_of(height, step)
    sums, weights = running(x_half, x_extent, step), phases(x_half if softness > 0 else x_half[:0], x_extent, step)
    columns = nx if step == 1 else -(-nx // LINE) * LINE  # whole vectors; the last nodes mean nothing
    chords = rows.reshape(-1)[: height * columns].reshape(height, columns)
    reach = max(len(x_half), len(y_half)) + 2 * step
    all_around = is_all_around(center, inner, outer - softness / 2, reach, height, width)
    top, bottom = rows_of(center[1], (inner if all_around else outer) + softness / 2, height)
    for row in range(top, bottom):
        for j in range(columns):
            chords[row, j] = 0
        line, dy = chords[row, :nx], row - center[1]
        for n in range(2):  # the inner disk, the outer disk
            radius = outer if n else inner
            if radius < 0 or (n and all_around):
                continue
            sign = np.float32(1 if n else -1)
            begin, end = chord(center[0], radius - softness / 2, dy, width)
            _add_chord(line, sums, x_extent, len(x_half), begin, end, sign, first, width)
            if softness > 0:
                add_rim(line, weights, x_extent, len(x_half), center[0], dy, radius, softness, sign, first, width)
    nodes = aligned(-(-ny // 4) * 4, columns)
    _blur_lines(chords, top, bottom, extended(y_half, y_extent), y_extent, len(y_half), first, step, ny, nodes)
    if all_around:
        for row in range(len(nodes)):
            for j in range(columns):
                nodes[row, j] += np.float32(1)
    if step == 1:
        return nodes[:ny]
    lines = out.reshape(-1)[: ny * width].reshape(ny, width)
    _refine(nodes, nx, step, lines)
    return lines


@inner_kernel
def field_rows(lines: Array, weights: Array, top: int, end: int, out: Array) -> int:
    """Rows of a field from `top` on, as many as there are up to `end` and as fit, into `out` (N, W); returns how many.

    `lines` are those of `wide_field`; `weights`, (step, 6), are `weights_between` of its step.
    """
    count, step = min(len(out), end - top), len(weights)
    for i in range(count):
        if step == 1:
            for j in range(out.shape[1]):
                out[i, j] = lines[top + i, j]
        else:
            k, w = (top + i) // step, weights[(top + i) % step]
            a, b, c, d, e, f = w[0], w[1], w[2], w[3], w[4], w[5]  # to unpack an array takes longer than the loop
            for j in range(out.shape[1]):
                out[i, j] = (
                    a * lines[k, j]
                    + b * lines[k + 1, j]
                    + c * lines[k + 2, j]
                    + d * lines[k + 3, j]
                    + e * lines[k + 4, j]
                    + f * lines[k + 5, j]
                )
    return count


@inner_kernel
def outputs(length: int, step: int) -> tuple[int, int]:
    """The pixel of the first node, and how many there are: with `step` above 1, two more at either end.

    As many as the six nodes of the last pixel need, though its last ones weigh nothing where it lies on a node.
    """
    if step == 1:
        return 0, length
    return -2 * step, (length - 1) // step + 6


@inner_kernel
def extent_of(length: int, step: int) -> int:
    """The largest distance between a node and a pixel, reflections included."""
    return 2 * length + 4 * step + 2


@inner_kernel
def extended(half: Array, extent: int) -> Array:
    """The kernel on both sides of its center, which is at `extent`; 0 beyond its taps."""
    weights = np.zeros(2 * extent + 1, np.float32)
    for lag in range(min(len(half), extent + 1)):
        weights[extent + lag] = half[lag]
        weights[extent - lag] = half[lag]
    return weights


@inner_kernel
def running(half: Array, extent: int, step: int) -> Array:
    """The sum of the weights before each, S(t), at [(t + extent) % step, (t + extent) // step].

    The nodes of a row are `step` apart: in this order they read neighbours.
    """
    weights = extended(half, extent)
    sums = np.zeros((step, (len(weights) + step) // step), np.float32)
    total = 0.0
    for t in range(len(weights) + 1):
        sums[t % step, t // step] = total
        if t < len(weights):
            total += weights[t]
    return sums


@inner_kernel
def _add(line: Array, sums: Array, extent: int, plus: int, minus: int, sign: Any, low: Any, high: int) -> None:
    """Adds sign (S(o + plus) - S(o + minus)) to the nodes low to high - 1 of a row, o the first node's and so on."""
    step = len(sums)
    p, m = plus + extent, minus + extent
    added = sums[p % step, p // step + low : p // step + high]
    taken = sums[m % step, m // step + low : m // step + high]
    part = line[low:high]
    for j in range(high - low):
        part[j] += sign * (added[j] - taken[j])


@inner_kernel
def _add_chord(
    line: Array, sums: Array, extent: int, taps: int, begin: int, end: int, sign: Any, first: int, width: int
) -> None:
    """Adds a blurred chord of ones, columns begin to end - 1, and its reflections, at the nodes of a row.

    S(end - o) - S(begin - o) is S(o - begin + 1) - S(o - end + 1): the kernel is symmetric.
    """
    if end <= begin:
        return
    count, step = len(line), len(sums)
    _add(line, sums, extent, first - begin + 1, first - end + 1, sign, np.int64(0), count)
    low, high = max(begin, 1), max(end, 1)  # mirrored at the left edge, as far as the kernel reaches
    reached = min(max((taps - low - first) // step + 1, 0), count)
    _add(line, sums, extent, first + high, first + low, sign, np.int64(0), reached)
    far = 2 * (width - 1)
    low, high = min(begin, width - 1) - far, min(end, width - 1) - far
    reached = min(max((-taps - high - first) // step, 0), count)
    _add(line, sums, extent, first + high, first + low, sign, reached, count)


@inner_kernel
def _blur_lines(
    lines: Array,
    top: int,
    bottom: int,
    weights: Array,
    zero: int,
    taps: int,
    first: int,
    step: int,
    count: int,
    nodes: Array,
) -> None:
    """The blur of columns (H, n), empty but for the rows top to bottom - 1, at the nodes along y, (rows, n).

    A banded matrix product, four nodes and four lines at a time: what is loaded is used four times.
    """
    height, width = lines.shape
    factors = np.zeros((4, height + 4), np.float32)
    for i in range(0, count, 4):
        low, high = height, 0
        for n in range(min(4, count - i)):
            o = first + (i + n) * step
            low = min(low, max(min(o - taps, height - 1), 0))
            high = max(high, min(max(o + taps, 0) + 1, height))
        low, high = max(low, top), min(high, bottom)
        for n in range(4):
            for row in range(low, max(low, high) + 4):
                factors[n, row] = 0
            if i + n < count:
                reflected(factors[n], weights, zero, taps, first + (i + n) * step, low, high, height)
        for n in range(i, i + 4):
            for j in range(width):
                nodes[n, j] = np.float32(0)
        for a in range(low, high, 4):
            b, c, d = min(a + 1, bottom - 1), min(a + 2, bottom - 1), min(a + 3, bottom - 1)
            p0, p1, p2, p3 = factors[0, a], factors[0, a + 1], factors[0, a + 2], factors[0, a + 3]
            q0, q1, q2, q3 = factors[1, a], factors[1, a + 1], factors[1, a + 2], factors[1, a + 3]
            r0, r1, r2, r3 = factors[2, a], factors[2, a + 1], factors[2, a + 2], factors[2, a + 3]
            s0, s1, s2, s3 = factors[3, a], factors[3, a + 1], factors[3, a + 2], factors[3, a + 3]
            for j in range(width):
                w, x, y, z = lines[a, j], lines[b, j], lines[c, j], lines[d, j]
                nodes[i, j] += p0 * w + p1 * x + p2 * y + p3 * z
                nodes[i + 1, j] += q0 * w + q1 * x + q2 * y + q3 * z
                nodes[i + 2, j] += r0 * w + r1 * x + r2 * y + r3 * z
                nodes[i + 3, j] += s0 * w + s1 * x + s2 * y + s3 * z


@inner_kernel
def reflected(factors: Array, weights: Array, zero: int, taps: int, o: int, low: int, high: int, height: int) -> None:
    """What lines low to high - 1 weigh at output o, reflections included."""
    for row in range(low, high):
        factors[row] = weights[zero + row - o]
    for row in range(max(low, 1), min(high, taps - o + 1)):
        factors[row] += weights[zero + o + row]
    far = 2 * (height - 1) - o
    for row in range(max(low, far - taps), min(high, height - 1)):
        factors[row] += weights[zero + far - row]


@inner_kernel
def _refine(nodes: Array, count: int, step: int, lines: Array) -> None:
    """The pixels between the `count` first nodes of each line, by doubling again and again."""
    spare = np.empty((2, lines.shape[1] + 16), np.float32)
    for i in range(len(lines)):
        node, distance, turn = nodes[i, :count], step, 0
        while distance > 2:
            finer = spare[turn, : 2 * len(node) - 5]
            _double(node, finer)
            node, distance, turn = finer, distance // 2, 1 - turn
        _double(node[1:], lines[i])


@inner_kernel
def _double(nodes: Array, finer: Array) -> None:
    """Cubic interpolation half-way: finer[0] is nodes[1], finer[1] lies between nodes[1] and nodes[2], and so on."""
    near, far = np.float32(9 / 16), np.float32(-1 / 16)
    pairs = len(finer) // 2
    for k in range(pairs):
        finer[2 * k] = nodes[k + 1]
        finer[2 * k + 1] = near * (nodes[k + 1] + nodes[k + 2]) + far * (nodes[k] + nodes[k + 3])
    if len(finer) % 2:
        finer[2 * pairs] = nodes[pairs + 1]
