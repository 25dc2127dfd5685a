"""The adjoint of `fields_cpu`: from the derivatives in a blurred ring's pixels to those in its center, radii and taps.

A field is linear in the taps along x and in those along y. Along y they are what they are along x of the transposed
field: its lines are chords of the same disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel
from degrade.jit.rows import LINE, aligned
from degrade.ops.disk_cpu import chord, is_all_around, rows_of
from degrade.ops.fields_cpu import extended, extent_of, outputs, reflected
from degrade.ops.rim_cpu import phases, rim_adjoint

Array = NDArray[np.float32]
Sums = NDArray[np.float64]


@inner_kernel
def spread_row(row: Array, weights: Array, at: int, lines: Array) -> None:
    """Adds the derivatives in a field's row number `at` to those in its lines, as `field_rows` made the row of them."""
    step = len(weights)
    if step == 1:
        to = lines[at]
        for j in range(len(row)):
            to[j] += row[j]
        return
    for t in range(weights.shape[1]):
        weight, to = weights[at % step, t], lines[at // step + t]
        for j in range(len(row)):
            to[j] += weight * row[j]


@inner_kernel
def field_adjoint(
    lines: Array,
    weights: Array,
    size: tuple[int, int],
    center: Any,
    inner: Any,
    outer: Any,
    softness: float,
    x_half: Array,
    y_half: Array,
    to_ring: Sums,
    to_x: Sums,
    to_y: Sums,
) -> None:
    """From the derivatives in the lines of `wide_field` to those in what it is made of.

    Args:
        lines: (N, W), as `spread_row` has added them up.
        weights: (step, 6), `weights_between`.
        size: height and width of the frame.
        center, inner, outer, softness: see `wide_field`.
        x_half, y_half: the taps of `taps_and_one`.
        to_ring: (4,) to write to: x and y of the center, inner and outer radius; 0 for hard rims.
        to_x, to_y: to write to, one number to a tap.
    """
    height, width = size
    step = len(weights)
    _, nx = outputs(width, step)
    _, ny = outputs(height, step)
    nodes = _zeros(ny, nx)
    for i in range(ny):
        line, to = lines[i], nodes[i]
        if step == 1:
            for j in range(nx):
                to[j] = line[j]
        else:
            for r in range(step):
                a, b, c, d, e, f = (
                    weights[r, 0], weights[r, 1], weights[r, 2], weights[r, 3], weights[r, 4], weights[r, 5]
                )  # fmt: skip
                for k in range((width - r + step - 1) // step):
                    x = line[k * step + r]
                    to[k] += a * x
                    to[k + 1] += b * x
                    to[k + 2] += c * x
                    to[k + 3] += d * x
                    to[k + 4] += e * x
                    to[k + 5] += f * x
    reach = max(len(x_half), len(y_half)) - 1 + 2 * step
    around = is_all_around(center, inner, outer - softness / 2, reach, height, width)
    _to_taps(
        nodes, center[0], center[1], inner, outer, softness, around, x_half, y_half, step, size, True, to_ring, to_x
    )
    turned = _zeros(nx, ny)
    for i in range(ny):
        for j in range(nx):
            turned[j, i] = nodes[i, j]
    size = width, height
    _to_taps(
        turned, center[1], center[0], inner, outer, softness, around, y_half, x_half, step, size, False, to_ring, to_y
    )


@inner_kernel
def _zeros(rows: Any, columns: Any) -> Array:
    """Whole vectors, and rows in fours."""
    made = aligned(-(-rows // 4) * 4, -(-columns // LINE) * LINE)
    for i in range(made.shape[0]):
        for j in range(made.shape[1]):
            made[i, j] = np.float32(0)
    return made


@inner_kernel
def _to_taps(
    nodes: Array,
    x: float,
    y: float,
    inner: Any,
    outer: Any,
    softness: float,
    around: bool,
    half: Array,
    other: Array,
    step: int,
    size: tuple[int, int],
    rims: bool,
    to_ring: Sums,
    to_half: Sums,
) -> None:
    """To the taps along the lines, `half`, from the derivatives at the nodes; with `rims` to the ring as well."""
    height, width = size
    first, count = outputs(width, step)
    _, ny = outputs(height, step)
    extent = extent_of(width, step)
    to_sums = np.zeros((step, (2 * extent + 1 + step) // step), np.float32)
    weights = phases(half if softness > 0 else half[:0], extent, step)
    to_weights = np.zeros(weights.shape, np.float32)
    top, bottom = rows_of(y, (inner if around else outer) + softness / 2, height)
    chords = aligned(height + 4, nodes.shape[1])
    _back_to_lines(nodes, other, first, step, ny, height, top, bottom, chords)
    for row in range(top, bottom):
        for n in range(2):  # the inner disk, the outer disk
            radius = outer if n else inner
            if radius < 0 or (n and around):
                continue
            line, dy, sign = chords[row, :count], row - y, np.float32(1 if n else -1)
            begin, end = chord(x, radius - softness / 2, dy, width)
            _chord_adjoint(line, to_sums, extent, len(half), begin, end, sign, first, width)
            if softness > 0:
                to = to_ring if rims else to_ring[:0]
                rim_adjoint(
                    line, weights, to_weights, extent, len(half), x, dy, radius, softness, sign, first, width, n, to
                )
    total = 0.0
    for t in range(2 * extent + 1, 0, -1):  # a weight is in all the sums behind it
        total += to_sums[t % step, t // step]
        lag = abs(t - 1 - extent)
        if lag < len(half):
            to_half[lag] += total + to_weights[(t - 1) % step, (t - 1) // step]


@inner_kernel
def _chord_adjoint(
    line: Array,
    to_sums: Array,
    extent: int,
    taps: int,
    begin: int,
    end: int,
    sign: Any,
    first: int,
    width: int,
) -> None:
    """Of `_add_chord` of `fields_cpu`: adds to the derivatives in the sums."""
    if end <= begin:
        return
    count, step = len(line), len(to_sums)
    _add_adjoint(line, to_sums, extent, first - begin + 1, first - end + 1, sign, np.int64(0), count)
    low, high = max(begin, 1), max(end, 1)
    reached = min(max((taps - low - first) // step + 1, 0), count)
    _add_adjoint(line, to_sums, extent, first + high, first + low, sign, np.int64(0), reached)
    far = 2 * (width - 1)
    low, high = min(begin, width - 1) - far, min(end, width - 1) - far
    reached = min(max((-taps - high - first) // step, 0), count)
    _add_adjoint(line, to_sums, extent, first + high, first + low, sign, reached, count)


@inner_kernel
def _add_adjoint(
    line: Array, to_sums: Array, extent: int, plus: int, minus: int, sign: Any, low: Any, high: int
) -> None:
    step = len(to_sums)
    p, m = plus + extent, minus + extent
    part = line[low:high]
    to_added, to_taken = to_sums[p % step, p // step + low :], to_sums[m % step, m // step + low :]
    for j in range(len(part)):
        to_added[j] += sign * part[j]
    for j in range(len(part)):
        to_taken[j] -= sign * part[j]


@inner_kernel
def _back_to_lines(
    nodes: Array, half: Array, first: int, step: int, count: int, height: int, top: int, bottom: int, lines: Array
) -> None:
    """The adjoint of `_blur_lines` of `fields_cpu`: rows top to bottom - 1 of `lines`, four by four nodes at a time."""
    extent, taps = extent_of(height, step), len(half)
    weights = extended(half, extent)
    factors = np.zeros((4, height + 4), np.float32)
    for row in range(top, bottom + 3):
        for j in range(lines.shape[1]):
            lines[row, j] = np.float32(0)
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
                reflected(factors[n], weights, extent, taps, first + (i + n) * step, low, high, height)
        p, q, r, s = nodes[i], nodes[i + 1], nodes[i + 2], nodes[i + 3]
        for a in range(low, high, 4):
            p0, p1, p2, p3 = factors[0, a], factors[0, a + 1], factors[0, a + 2], factors[0, a + 3]
            q0, q1, q2, q3 = factors[1, a], factors[1, a + 1], factors[1, a + 2], factors[1, a + 3]
            r0, r1, r2, r3 = factors[2, a], factors[2, a + 1], factors[2, a + 2], factors[2, a + 3]
            s0, s1, s2, s3 = factors[3, a], factors[3, a + 1], factors[3, a + 2], factors[3, a + 3]
            for j in range(lines.shape[1]):
                w, x, y, z = p[j], q[j], r[j], s[j]
                lines[a, j] += p0 * w + q0 * x + r0 * y + s0 * z
                lines[a + 1, j] += p1 * w + q1 * x + r1 * y + s1 * z
                lines[a + 2, j] += p2 * w + q2 * x + r2 * y + s2 * z
                lines[a + 3, j] += p3 * w + q3 * x + r3 * y + s3 * z
