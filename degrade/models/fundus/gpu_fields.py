"""The blurred disks and rings of `functional.fields` without blur matrices, and the tables of every kernel.

A hard disk is a chord per row, and the blur of a chord along x is a difference of two values of the kernel's running
sum, so x costs a few look-ups per pixel whatever the kernel's width; reflected borders add the same differences at
mirrored places. The blur along y is a product with a banded matrix, whose tiles are looked up in the kernel's taps as
they are needed and multiplied by the tensor cores: half precision with float32 sums, 1e-4 of the field's height.

The kernels of a sample (halo, hole x, hole y, blur x, blur y, then x and y of every spot) have a record each in one
table: L taps w(0) ... w(L - 1), then the running sum Q(t) = w(-L) + ... + w(t - 1) for t = 1 - L ... L. L is known on
the host; what lies beyond a kernel's own reach is 0, or 1, exactly, so no bit of a result depends on L. The parameters
of a sample are one row of the packed table (`table`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from degrade.models.fundus import constants
from degrade.models.fundus import table as at
from degrade.ops.blur import reach_of
from degrade.ops.constants import REFERENCE_SIDE

TYPE = tl.constexpr(at.TYPE)
BRIGHTNESS, CONTRAST = tl.constexpr(at.BRIGHTNESS), tl.constexpr(at.CONTRAST)
SATURATION, NOISE = tl.constexpr(at.SATURATION), tl.constexpr(at.NOISE)
HALO_COLOR, HALO_STRENGTH = tl.constexpr(at.HALO_COLOR), tl.constexpr(at.HALO_STRENGTH)
HOLE_DEPTH, HOLE_SLOPE = tl.constexpr(at.HOLE_DEPTH), tl.constexpr(at.HOLE_SLOPE)
HOLE_THRESHOLD, NOISE_KEY = tl.constexpr(at.HOLE_THRESHOLD), tl.constexpr(at.NOISE_KEY)
ILLUMINATION, SPOTS, BLUR = (
    tl.constexpr(constants.ILLUMINATION),
    tl.constexpr(constants.SPOTS),
    tl.constexpr(constants.BLUR),
)

_HALO_CENTER, _HALO_INNER = tl.constexpr(at.HALO_CENTER), tl.constexpr(at.HALO_INNER)
_HALO_OUTER, _HOLE_CENTER = tl.constexpr(at.HALO_OUTER), tl.constexpr(at.HOLE_CENTER)
_HOLE_RADIUS = tl.constexpr(at.HOLE_RADIUS)
_HALO_KERNEL, _HOLE_KERNEL = tl.constexpr(at.HALO_KERNEL), tl.constexpr(at.HOLE_KERNEL)
_BLUR_KERNEL, _SPOT_KERNEL = tl.constexpr(at.BLUR_KERNEL), tl.constexpr(at.SPOT_KERNEL)
_HALO_SIGMA, _HOLE_SIGMA = tl.constexpr(at.HALO_SIGMA), tl.constexpr(at.HOLE_SIGMA)
_BLUR_SIGMA, _SPOT_SIGMA = tl.constexpr(at.BLUR_SIGMA), tl.constexpr(at.SPOT_SIGMA)
SPOTS_AT = tl.constexpr(at.SPOTS_AT)

_SMALLEST = tl.constexpr(REFERENCE_SIDE**-2)
RIM = tl.constexpr(1 + 1e-6)  # of a radius' square; see `fields._rim_square`
_SCALE = tl.constexpr(1024.0)  # keeps the taps of wide kernels from the coarse end of half precision
_CHUNK = tl.constexpr(128)  # sums are made of chunks of this many, from the center outwards, in tables of any length
_ACROSS, _DOWN = (32, 64), (64, 128, 32)
OPTIONS = {"num_warps": 8}


@dataclass(frozen=True)
class Tables:
    """The records of all kernels (B, floats), where those of the blur and of the spots begin, and their lengths L."""

    records: Tensor
    lengths: tuple[int, int, int]

    @property
    def blur(self) -> Tensor:
        return self.records[:, 9 * self.lengths[0] :]

    @property
    def spots(self) -> Tensor:
        return self.records[:, 9 * self.lengths[0] + 6 * self.lengths[1] :]


def tables(rows: Tensor, spots: int, side: int, most: Mapping[str, float]) -> Tables:
    """The records of the kernels in packed rows; `most` has the largest sizes that they may have."""

    def length(*names: str) -> int:
        return -(-(reach_of(max(most[name] for name in names), side) + 2) // 16) * 16

    lengths = (length("halo_kernel", "hole_kernel"), length("blur_kernel"), length("spot_kernel"))
    floats = 9 * lengths[0] + 6 * lengths[1] + 6 * spots * lengths[2]
    records = torch.empty(rows.shape[0], floats, dtype=torch.float32, device=rows.device)
    grid = (rows.shape[0] * (5 + 2 * spots),)
    _tables[grid](rows, records, rows.stride(0), records.stride(0), spots, side, *lengths, num_warps=1)
    return Tables(records, lengths)


def fields(rows: Tensor, made: Tables, spots: int, size: tuple[int, int]) -> Tensor:
    """The halo's ring and the hole's disk, blurred: (B, 2, H, W) float16, unset for samples without illumination."""
    height, width = size
    batch = rows.shape[0]
    across, result = (torch.empty(batch, 2, height, width, dtype=torch.float16, device=rows.device) for _ in range(2))
    sizes = (rows.stride(0), made.records.stride(0), made.lengths[0], spots, height, width)
    # multiplications and additions rounded one by one: which pixels of a rim are inside must not hang on more
    grid = (batch * 2 * triton.cdiv(height, _ACROSS[0]) * triton.cdiv(width, _ACROSS[1]),)
    _blur_chords[grid](rows, made.records, across, *sizes, *_ACROSS, **OPTIONS, enable_fp_fusion=False)
    grid = (batch * 2 * triton.cdiv(height, _DOWN[0]) * triton.cdiv(width, _DOWN[1]),)
    _blur_down[grid](rows, made.records, across, result, *sizes, *_DOWN, **OPTIONS)
    return result


@triton.jit
def _box(size, side):
    """Whole taps to either side of a kernel's center, and the weight of the fractional pair beyond; see `taps`."""
    cells = side.to(tl.float32)
    width = tl.sqrt_rn(1.0 + cells * cells * tl.maximum(size * size - _SMALLEST, 0.0))
    variance = (width * width - 1.0) / 12.0
    whole = tl.floor((width - 1.0) / 2.0)
    spread = whole * (whole + 1.0) * (2.0 * whole + 1.0) / 6.0
    fraction = (variance * (2.0 * whole + 1.0) - 2.0 * spread) / (2.0 * ((whole + 1.0) * (whole + 1.0) - variance))
    return whole, fraction


@triton.jit
def _size_at(row, kernel, spots):
    """Where the size of a kernel is: 0 the halo's, 1 and 2 the hole's, 3 and 4 the blur's, then two for each spot."""
    few = tl.where(kernel < 3, _HOLE_KERNEL + kernel - 1, _BLUR_KERNEL + kernel - 3)
    few = tl.where(kernel == 0, _HALO_KERNEL, few)
    return row + tl.where(kernel < 5, few, SPOTS_AT + _SPOT_KERNEL * spots + kernel - 5)


@triton.jit
def _sigma_at(row, kernel, spots):
    """Where the sigma of a kernel is; x and y share one."""
    few = tl.where(kernel == 0, _HALO_SIGMA, tl.where(kernel < 3, _HOLE_SIGMA, _BLUR_SIGMA))
    return row + tl.where(kernel < 5, few, SPOTS_AT + _SPOT_SIGMA * spots + (kernel - 5) // 2)


@triton.jit
def reach_in(row, kernel, spots, side, length):
    """Taps to either side of the center that a sample's own kernel has."""
    whole, fraction = _box(tl.load(_size_at(row, kernel, spots)), side)
    return tl.minimum(whole.to(tl.int32) + (fraction > 1e-5).to(tl.int32), length - 2)


@triton.jit
def running(record, t, length):
    """The running sum Q(t) of a record."""
    return tl.load(record + length + tl.minimum(tl.maximum(t + length - 1, 0), 2 * length - 1))


@triton.jit
def _weights(lag, whole, fraction, sigma):
    box = tl.where(lag <= whole, 1.0, tl.where(lag == whole + 1.0, fraction, 0.0))
    away = lag / sigma
    return box * tl.exp(-0.5 * away * away)


@triton.jit
def _tables(rows, records, row_stride, stride, spots, side, field_length, blur_length, spot_length):
    """The record of one kernel."""
    kernels = 5 + 2 * spots
    sample = (tl.program_id(0) // kernels).to(tl.int64)
    k = tl.program_id(0) % kernels
    row = rows + sample * row_stride
    length = tl.where(k < 3, field_length, tl.where(k < 5, blur_length, spot_length))
    before = tl.where(k < 3, 0, tl.where(k < 5, 3, 5))
    place = tl.where(k < 3, 0, 9 * field_length) + tl.where(k < 5, 0, 6 * blur_length) + 3 * length * (k - before)
    record = records + sample * stride + place
    whole, fraction = _box(tl.load(_size_at(row, k, spots)), side)
    sigma = tl.load(_sigma_at(row, k, spots)) * side
    chunk = tl.arange(0, _CHUNK)
    total = 1.0
    for start in range(0, length, _CHUNK):
        total += 2.0 * tl.sum(_weights((start + chunk + 1).to(tl.float32), whole, fraction, sigma))
    carry = 0.0
    for start in range(0, length, _CHUNK):
        lag = start + chunk
        weights = _weights(lag.to(tl.float32), whole, fraction, sigma) / total
        halved = tl.where(lag == 0, 0.5, 1.0) * weights
        half = carry + tl.cumsum(halved)  # from the middle of the kernel to behind this tap
        carry += tl.sum(halved)
        half = tl.where(lag > whole, 0.5, half)
        inside = lag < length
        tl.store(record + lag, weights, mask=inside)
        tl.store(record + 2 * length + lag, 0.5 + half, mask=inside)
        tl.store(record + 2 * length - 1 - lag, 0.5 - half, mask=inside)


@triton.jit
def _blur_chord(record, length, reach, radius, middle, dy, col, columns, width, COLUMNS: tl.constexpr):
    """One tile of a disk blurred along x, from its chords, as `fields._chords` finds them."""
    half_square = radius * radius * RIM - dy * dy
    half = tl.sqrt_rn(tl.maximum(half_square, 0.0))
    edge = width.to(tl.float32)
    first = tl.minimum(tl.maximum(tl.ceil(middle - half), 0.0), edge).to(tl.int32)
    last = tl.minimum(tl.maximum(tl.floor(middle + half) + 1.0, 0.0), edge).to(tl.int32)
    missed = (half_square < 0.0) | (last <= first)
    # a chord of nothing is put where none of the mirrored terms sees it
    first, last = tl.where(missed, 1, first)[:, None], tl.where(missed, 1, last)[:, None]
    j = columns[None, :]
    blurred = running(record, last - j, length) - running(record, first - j, length)
    if col < reach:
        blurred += running(record, j + last, length) - running(record, j + tl.maximum(first, 1), length)
    if col + COLUMNS > width - reach:
        mirror = 2 * (width - 1) + 1 - j
        blurred += running(record, mirror - first, length)
        blurred -= running(record, mirror - tl.minimum(last, width - 1), length)
    return blurred


@triton.jit
def _blur_chords(
    rows, tables, across, row_stride, stride, length, spots, height, width, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    """The ring and the disk blurred along x only: (B, 2, H, W)."""
    side = tl.minimum(height, width)
    tiles_x = tl.cdiv(width, COLUMNS)
    tiles = tl.cdiv(height, ROWS) * tiles_x
    plane = tl.program_id(0) // tiles
    tile = tl.program_id(0) % tiles
    field = plane % 2
    row = rows + (plane // 2).to(tl.int64) * row_stride
    if (tl.load(row + TYPE).to(tl.int32) & ILLUMINATION) == 0:
        return
    record = tables + (plane // 2).to(tl.int64) * stride + field * 3 * length
    reach = reach_in(row, field, spots, side, length)
    col = tile % tiles_x * COLUMNS
    columns = tl.max_contiguous(col + tl.arange(0, COLUMNS), 1)  # one look-up per thread: neighbours read neighbours
    lines = tile // tiles_x * ROWS + tl.arange(0, ROWS)
    center = row + tl.where(field == 0, _HALO_CENTER, _HOLE_CENTER)
    middle = tl.load(center) * width - 0.5
    dy = lines.to(tl.float32) - (tl.load(center + 1) * height - 0.5)
    inner, outer = tl.load(row + _HALO_INNER) * side, tl.load(row + _HALO_OUTER) * side
    largest = tl.where(field == 0, tl.maximum(inner, outer), tl.load(row + _HOLE_RADIUS) * side)
    blurred = _blur_chord(record, length, reach, largest, middle, dy, col, columns, width, COLUMNS)
    if field == 0:
        smallest = tl.minimum(inner, outer)
        blurred -= _blur_chord(record, length, reach, smallest, middle, dy, col, columns, width, COLUMNS)
    place = across + plane.to(tl.int64) * height * width + lines[:, None] * width + columns[None, :]
    tl.store(place, blurred.to(tl.float16), mask=(lines < height)[:, None] & (columns < width)[None, :])


@triton.jit
def _blur_down(
    rows,
    tables,
    across,
    result,
    row_stride,
    stride,
    length,
    spots,
    height,
    width,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    DEPTH: tl.constexpr,
):
    """The blur along y of what `_blur_chords` made."""
    side = tl.minimum(height, width)
    tiles_y = tl.cdiv(height, ROWS)
    tiles = tiles_y * tl.cdiv(width, COLUMNS)
    plane = tl.program_id(0) // tiles
    tile = tl.program_id(0) % tiles
    row = rows + (plane // 2).to(tl.int64) * row_stride
    if (tl.load(row + TYPE).to(tl.int32) & ILLUMINATION) == 0:
        return
    kernel = plane % 2 * 2  # the halo's one kernel, or the hole's second
    weights = tables + (plane // 2).to(tl.int64) * stride + kernel * 3 * length
    reach = reach_in(row, kernel, spots, side, length)
    top = tile % tiles_y * ROWS
    lines = top + tl.arange(0, ROWS)
    columns = tile // tiles_y * COLUMNS + tl.arange(0, COLUMNS)
    source = across + plane.to(tl.int64) * height * width
    low = tl.maximum(top - reach, 0) // DEPTH * DEPTH
    high = tl.minimum(top + ROWS + reach, height)
    total = tl.zeros((ROWS, COLUMNS), dtype=tl.float32)
    for start in range(low, high, DEPTH):
        r = start + tl.arange(0, DEPTH)
        band = tl.load(weights + tl.minimum(tl.abs(lines[:, None] - r[None, :]), length - 1))
        if top < reach:
            mirrored = tl.where(r > 0, r, length)[None, :] + lines[:, None]
            band += tl.load(weights + tl.minimum(mirrored, length - 1))
        if top + ROWS > height - reach:
            mirrored = 2 * (height - 1) - tl.where(r < height - 1, r, -length)[None, :] - lines[:, None]
            band += tl.load(weights + tl.minimum(tl.maximum(mirrored, 0), length - 1))
        inside = (r < height)[:, None] & (columns < width)[None, :]
        values = tl.load(source + r[:, None] * width + columns[None, :], mask=inside, other=0.0)
        total = tl.dot((band * _SCALE).to(tl.float16), values, total)
    place = result + plane.to(tl.int64) * height * width + lines[:, None] * width + columns[None, :]
    inside = (lines < height)[:, None] & (columns < width)[None, :]
    tl.store(place, (total * (1.0 / _SCALE)).to(tl.float16), mask=inside)
