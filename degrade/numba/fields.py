"""Blurred disks and rings, `degrade.functional.fields.ring_nodes` and `refine`, as loops over one image.

All arrays are float32 and C-contiguous; lengths are in pixels.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.functional.blur import REFERENCE_SIDE
from degrade.numba.jit import kernel

Array = NDArray[np.float32]


@kernel
def taps(size: Any, sigma: Any, cells: int, halves: Array) -> None:
    """`degrade.functional.blur.taps` of many kernels (N,), into `halves` (N, T), each a kernel's half, centre first."""
    for n in range(len(size)):
        half = halves[n]
        half[:] = 0
        width = math.sqrt(1 + cells * cells * max(size[n] * size[n] - 1 / REFERENCE_SIDE**2, 0.0))
        whole = math.floor((width - 1) / 2)
        variance = (width * width - 1) / 12
        spread = whole * (whole + 1) * (2 * whole + 1) / 6  # sum of squares of the whole taps' distances
        fraction = (variance * (2 * whole + 1) - 2 * spread) / (2 * ((whole + 1) * (whole + 1) - variance))
        total = 0.0
        for lag in range(min(whole + 2, len(half))):
            weight = (fraction if lag == whole + 1 else 1.0) * math.exp(-0.5 * (lag / (sigma[n] * cells)) ** 2)
            half[lag] = weight
            total += weight if lag == 0 else 2 * weight
        for lag in range(len(half)):
            half[lag] /= total


@kernel
def wide_field(
    center: Any,
    inner: Any,
    outer: Any,
    x_half: Array,
    y_half: Array,
    step: int,
    weights: Array,
    rows: Array,
    out: Array,
) -> None:
    """A hard ring, blurred with reflected borders, into `out` (H, W).

    Args:
        center: x and y of the centre.
        inner, outer: radii; an inner one below 0 is none.
        x_half, y_half: the taps of one half of the kernel, centre first.
        step: distance of the nodes at which the field is computed exactly; a power of two.
        weights: (step, 6), what makes the pixels between the nodes.
        rows: (H, W) to write to.
    """
    height, width = out.shape
    first, nx = _outputs(width, step)
    _, ny = _outputs(height, step)
    x_extent, y_extent = 2 * width + 4 * step + 2, 2 * height + 4 * step + 2
    sums = _running(x_half, x_extent, step)
    lines = rows.reshape(-1)[: height * nx].reshape(height, nx)
    x_far, y_far = max(center[0], width - 1 - center[0]), max(center[1], height - 1 - center[1])
    reach = max(len(x_half), len(y_half)) + 2 * step
    # the frame but for the inner disk: the blur of ones is 1, as long as it is reflected but once
    all_around = inner >= 0 and x_far**2 + y_far**2 < outer**2 and reach < min(height, width)
    radius = inner if all_around else outer
    top = min(max(math.floor(center[1] - radius), 0), height)  # rows beyond the disk are empty
    bottom = max(min(math.ceil(center[1] + radius) + 1, height), top)
    for row in range(top, bottom):
        for j in range(nx):
            lines[row, j] = 0
        if not all_around:
            begin, end = chord(center[0], outer, row - center[1], width)
            _add_chord(lines[row], sums, x_extent, len(x_half), begin, end, np.float32(1), first, width)
        if inner >= 0:
            begin, end = chord(center[0], inner, row - center[1], width)
            _add_chord(lines[row], sums, x_extent, len(x_half), begin, end, np.float32(-1), first, width)
    nodes = out if step == 1 else np.empty((ny, nx), np.float32)
    _blur_lines(lines, top, bottom, _extended(y_half, y_extent), y_extent, len(y_half), first, step, nodes)
    if all_around:
        nodes += np.float32(1)
    if step > 1:
        _refine(nodes, step, weights, out)


@kernel
def chord(x: float, radius: float, dy: float, width: int) -> tuple[int, int]:
    """First column of a disk in the row at distance dy, and the one after its last; the rim belongs to the disk."""
    square = radius * radius * (1 + 1e-6) - dy * dy  # whole numbers on the rim must not hang on rounding
    if square < 0:
        return 0, 0
    half = math.sqrt(square)
    begin = min(max(math.ceil(x - half), 0), width)
    end = min(max(math.floor(x + half) + 1, 0), width)
    return begin, max(begin, end)


@kernel
def _outputs(length: int, step: int) -> tuple[int, int]:
    """The pixel of the first node, and how many there are: with `step` above 1, two more at either end."""
    if step == 1:
        return 0, length
    return -2 * step, (length - 2 + step) // step + 5


@kernel
def _extended(half: Array, extent: int) -> Array:
    """The kernel on both sides of its centre, which is at `extent`; 0 beyond its taps."""
    weights = np.zeros(2 * extent + 1, np.float32)
    for lag in range(min(len(half), extent + 1)):
        weights[extent + lag] = half[lag]
        weights[extent - lag] = half[lag]
    return weights


@kernel
def _running(half: Array, extent: int, step: int) -> Array:
    """The sum of the weights before each, S(t), at [(t + extent) % step, (t + extent) // step].

    The nodes of a row are `step` apart: in this order they read neighbours.
    """
    weights = _extended(half, extent)
    sums = np.zeros((step, (len(weights) + step) // step), np.float32)
    total = 0.0
    for t in range(len(weights) + 1):
        sums[t % step, t // step] = total
        if t < len(weights):
            total += weights[t]
    return sums


@kernel
def _add(line: Array, sums: Array, extent: int, plus: int, minus: int, sign: Any, low: int, high: int) -> None:
    """Adds sign (S(o + plus) - S(o + minus)) to the nodes low to high - 1 of a row, o the first node's and so on."""
    step = len(sums)
    p, m = plus + extent, minus + extent
    added = sums[p % step, p // step + low : p // step + high]
    taken = sums[m % step, m // step + low : m // step + high]
    part = line[low:high]
    for j in range(high - low):
        part[j] += sign * (added[j] - taken[j])


@kernel
def _add_chord(
    line: Array, sums: Array, extent: int, taps: int, begin: int, end: int, sign: Any, first: int, width: int
) -> None:
    """Adds a blurred chord of ones, columns begin to end - 1, and its reflections, at the nodes of a row.

    S(end - o) - S(begin - o) is S(o - begin + 1) - S(o - end + 1): the kernel is symmetric.
    """
    if end <= begin:
        return
    count, step = len(line), len(sums)
    _add(line, sums, extent, first - begin + 1, first - end + 1, sign, 0, count)
    low, high = max(begin, 1), max(end, 1)  # mirrored at the left edge, as far as the kernel reaches
    reached = min(max((taps - low - first) // step + 1, 0), count)
    _add(line, sums, extent, first + high, first + low, sign, 0, reached)
    far = 2 * (width - 1)
    low, high = min(begin, width - 1) - far, min(end, width - 1) - far
    reached = min(max((-taps - high - first) // step, 0), count)
    _add(line, sums, extent, first + high, first + low, sign, reached, count)


@kernel
def _blur_lines(
    lines: Array, top: int, bottom: int, weights: Array, zero: int, taps: int, first: int, step: int, nodes: Array
) -> None:
    """The blur of columns (H, n), empty but for the rows top to bottom - 1, at the nodes along y, (rows, n).

    A banded matrix product, four nodes and four lines at a time: what is loaded is used four times.
    """
    height, count = len(lines), len(nodes)
    factors = np.zeros((4, height + 4), np.float32)
    spare = np.empty(lines.shape[1], np.float32)
    for i in range(0, count, 4):
        low, high = height, 0
        for n in range(min(4, count - i)):
            o = first + (i + n) * step
            low = min(low, max(min(o - taps, height - 1), 0))
            high = max(high, min(max(o + taps, 0) + 1, height))
        low, high = max(low, top), min(high, bottom)
        for n in range(4):
            factors[n, low : max(low, high) + 4] = 0
            if i + n < count:
                _reflected(factors[n], weights, zero, taps, first + (i + n) * step, low, high, height)
        p, q = nodes[i], nodes[i + 1] if i + 1 < count else spare
        r, s = nodes[i + 2] if i + 2 < count else spare, nodes[i + 3] if i + 3 < count else spare
        for j in range(len(p)):
            p[j] = q[j] = r[j] = s[j] = np.float32(0)
        for row in range(low, high, 4):
            a, b, c, d = (
                lines[row],
                lines[min(row + 1, bottom - 1)],
                lines[min(row + 2, bottom - 1)],
                lines[min(row + 3, bottom - 1)],
            )
            p0, p1, p2, p3 = factors[0, row], factors[0, row + 1], factors[0, row + 2], factors[0, row + 3]
            q0, q1, q2, q3 = factors[1, row], factors[1, row + 1], factors[1, row + 2], factors[1, row + 3]
            r0, r1, r2, r3 = factors[2, row], factors[2, row + 1], factors[2, row + 2], factors[2, row + 3]
            s0, s1, s2, s3 = factors[3, row], factors[3, row + 1], factors[3, row + 2], factors[3, row + 3]
            for j in range(len(a)):
                p[j] += p0 * a[j] + p1 * b[j] + p2 * c[j] + p3 * d[j]
                q[j] += q0 * a[j] + q1 * b[j] + q2 * c[j] + q3 * d[j]
                r[j] += r0 * a[j] + r1 * b[j] + r2 * c[j] + r3 * d[j]
                s[j] += s0 * a[j] + s1 * b[j] + s2 * c[j] + s3 * d[j]


@kernel
def _reflected(factors: Array, weights: Array, zero: int, taps: int, o: int, low: int, high: int, height: int) -> None:
    """What lines low to high - 1 weigh at output o, reflections included."""
    far = 2 * (height - 1)
    for row in range(low, high):
        factor = weights[zero + row - o]
        if row >= 1 and o + row <= taps:
            factor += weights[zero + o + row]
        if row <= height - 2 and far - o - row <= taps:
            factor += weights[zero + far - o - row]
        factors[row] = factor


@kernel
def _refine(nodes: Array, step: int, weights: Array, out: Array) -> None:
    """The pixels between the nodes: along x, by doubling again and again, then along y."""
    height, width = out.shape
    across = np.empty((len(nodes), width), np.float32)
    spare = np.empty((2, width + 16), np.float32)
    for i in range(len(nodes)):
        node, distance, turn = nodes[i], step, 0
        while distance > 2:
            finer = spare[turn, : 2 * len(node) - 5]
            _double(node, finer)
            node, distance, turn = finer, distance // 2, 1 - turn
        _double(node[1:], across[i])
    for row in range(height):
        k, phase = row // step, row % step
        a, b, c, d, e, f = weights[phase]
        p, q, r, s, t, u = across[k], across[k + 1], across[k + 2], across[k + 3], across[k + 4], across[k + 5]
        line = out[row]
        if phase == 0:
            for j in range(width):
                line[j] = r[j]
        else:
            for j in range(width):
                line[j] = a * p[j] + b * q[j] + c * r[j] + d * s[j] + e * t[j] + f * u[j]


@kernel
def _double(nodes: Array, finer: Array) -> None:
    """Cubic interpolation half-way: finer[0] is nodes[1], finer[1] lies between nodes[1] and nodes[2], and so on."""
    near, far = np.float32(9 / 16), np.float32(-1 / 16)
    pairs = len(finer) // 2
    for k in range(pairs):
        finer[2 * k] = nodes[k + 1]
        finer[2 * k + 1] = near * (nodes[k + 1] + nodes[k + 2]) + far * (nodes[k] + nodes[k + 3])
    if len(finer) % 2:
        finer[2 * pairs] = nodes[pairs + 1]
