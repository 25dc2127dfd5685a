"""The spots in a tile of pixels: `reference.spots`, each spot's blurred disk computed where it is seen.

A row of a hard disk is a chord, blurred along x by two look-ups in its kernel's running sum (see `gpu_fields`); the
blur along y adds up the rows that the kernel reaches. Neither chords nor rows end at the frame: a spot beyond the
border glows into it. The records and the rows of parameters are those of `gpu_fields`.
"""

from __future__ import annotations

import triton
import triton.language as tl

from degrade.models.fundus import table as at
from degrade.models.fundus.gpu_fields import RIM, SPOTS_AT, reach_in, running

_CENTER, _RADIUS = tl.constexpr(at.SPOT_CENTER), tl.constexpr(at.SPOT_RADIUS)
_HEIGHT = tl.constexpr(at.SPOT_HEIGHT)


@triton.jit
def glow_of(
    row, records, length, spots, top, left, height, width,
    COUNT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The sum of all spots in the tile whose corner this is; COUNT is a power of two and at least `spots`."""
    side = tl.minimum(height, width)
    centers = row + SPOTS_AT + _CENTER * spots
    radii, heights = row + SPOTS_AT + _RADIUS * spots, row + SPOTS_AT + _HEIGHT * spots
    lines, columns = top + tl.arange(0, ROWS), left + tl.arange(0, COLUMNS)
    glow = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    # most tiles have no spot: one look at all of them
    n = tl.arange(0, COUNT)
    there = n < spots
    reach = tl.maximum(reach_in(row, 5 + 2 * n, spots, side, length), reach_in(row, 6 + 2 * n, spots, side, length))
    margin = tl.load(radii + n, mask=there, other=0.0) * side + reach + 1.0
    x = tl.load(centers + 2 * n, mask=there, other=0.0) * width - 0.5
    y = tl.load(centers + 2 * n + 1, mask=there, other=0.0) * height - 0.5
    near = (x > left - margin) & (x < left + COLUMNS + margin) & (y > top - margin) & (y < top + ROWS + margin)
    near = near & (tl.load(heights + n, mask=there, other=0.0) != 0.0)
    if tl.max(near.to(tl.int32)) > 0:
        for spot in range(spots):
            if tl.max((near & (n == spot)).to(tl.int32)) > 0:
                record = records + spot * 6 * length
                reach_y = reach_in(row, 6 + 2 * spot, spots, side, length)
                center_x, center_y = (
                    tl.load(centers + 2 * spot) * width - 0.5,
                    tl.load(centers + 2 * spot + 1) * height - 0.5,
                )
                radius = tl.load(radii + spot) * side
                disk = _disk(record, length, reach_y, center_x, center_y, radius, lines, columns, glow)
                glow += tl.load(heights + spot) * disk
    return glow


@triton.jit
def _disk(record, length, reach, x, y, radius, lines, columns, like):
    """One blurred disk; the record along x is followed by that along y."""
    weights = record + 3 * length
    square = radius * radius * RIM
    # from the nearest pixel, as the definition has it: which pixels of the rim are inside must not hang on rounding
    nearest_x, nearest_y = tl.floor(x + 0.5), tl.floor(y + 0.5)
    middle, offset = x - nearest_x, nearest_y - y
    j = columns[None, :] - nearest_x.to(tl.int32)
    total = tl.zeros_like(like)
    for lag in range(-reach, reach + 1):
        dy = (lines + lag - nearest_y.to(tl.int32)).to(tl.float32) + offset
        half_square = square - dy * dy
        half = tl.sqrt_rn(tl.maximum(half_square, 0.0))
        first = tl.ceil(middle - half).to(tl.int32)
        last = tl.floor(middle + half).to(tl.int32) + 1
        last = tl.where(half_square < 0.0, first, tl.maximum(first, last))
        chord = running(record, last[:, None] - j, length) - running(record, first[:, None] - j, length)
        total += tl.load(weights + tl.abs(lag)) * chord
    return total
