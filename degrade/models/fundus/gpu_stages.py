"""The pixels of the Cofe-Net chain: what `fundus.stages` does, in as few passes over the image as its means allow.

Contrast needs the mean luma, the halo the mean of what color makes, the hole the mean of what the halo makes. Each
is a pass that only reads: it computes the pixels anew from the image, which is cheaper than having written them, and
leaves one sum per program, which every program of the next pass adds up in the same order (no atomic additions: the
bits hang on nothing but the sample). The last of them writes; the blur takes one pass per axis.

    sums 0: luma of the brightened image, and the mask; 1: after color; 2: after color and halo
    light:  color, halo, hole, spots -> for the blur; or times the mask -> the result, for samples without a blur
    blur:   along y, then along x, clipped, times the mask -> the result
    noise:  the normals and the mask, if a recipe has noise: one Philox block serves four pixels, far apart

Samples whose `type` lacks a stage leave its kernels at once. A grey image is one with three equal channels. A tile is
a few numbers per thread, all loads of a tile are independent, and neighbouring threads hold neighbouring columns.
Every other pass begins where the one before it ended, with what is still in the cache.
"""

from __future__ import annotations

import triton
import triton.language as tl

from degrade.models.fundus.gpu_fields import (
    BLUR,
    BRIGHTNESS,
    CONTRAST,
    HALO_COLOR,
    HALO_STRENGTH,
    HOLE_DEPTH,
    HOLE_SLOPE,
    HOLE_THRESHOLD,
    ILLUMINATION,
    NOISE,
    NOISE_KEY,
    SATURATION,
    SPOTS,
    TYPE,
    reach_in,
)
from degrade.models.fundus.gpu_spots import glow_of
from degrade.ops.constants import LUMA
from degrade.rng.gpu import gaussian, philox, split_key

PARTS = tl.constexpr(256)
"""Programs per sample in a pass that sums, at most."""

_RED, _GREEN, _BLUE = (tl.constexpr(weight) for weight in LUMA)


@triton.jit
def _turn(BACKWARDS: tl.constexpr):
    """The number of the program, or counted from the end."""
    number = tl.program_id(0)
    if BACKWARDS:
        number = tl.num_programs(0) - 1 - number
    return number


@triton.jit
def _bits(row):
    return tl.load(row + TYPE).to(tl.int32)


@triton.jit
def _clip(x):
    return tl.clamp(x, 0.0, 1.0, tl.PropagateNan.ALL)  # a NaN in an image is to be seen


@triton.jit
def _load(image, place, pixels, inside, CHANNELS: tl.constexpr):
    """Three channels of a sample in float32; of a grey one, three times the same."""
    red = tl.load(image + place, mask=inside, other=0.0).to(tl.float32)
    green, blue = red, red
    if CHANNELS == 3:
        green = tl.load(image + pixels + place, mask=inside, other=0.0).to(tl.float32)
        blue = tl.load(image + 2 * pixels + place, mask=inside, other=0.0).to(tl.float32)
    return red, green, blue


@triton.jit
def _store(image, place, pixels, inside, red, green, blue, CHANNELS: tl.constexpr):
    tl.store(image + place, red.to(image.dtype.element_ty), mask=inside)
    if CHANNELS == 3:
        tl.store(image + pixels + place, green.to(image.dtype.element_ty), mask=inside)
        tl.store(image + 2 * pixels + place, blue.to(image.dtype.element_ty), mask=inside)


@triton.jit
def _luma(red, green, blue):
    return _RED * red + _GREEN * green + _BLUE * blue


@triton.jit
def _parts(partial, slot, parts):
    """What the programs of an earlier pass have left in a slot of a sample's (4, PARTS); their sum is its mean's."""
    part = tl.arange(0, PARTS)
    return tl.load(partial + slot * PARTS + part, mask=part < parts, other=0.0)


@triton.jit
def _color(red, green, blue, row, mean):
    factor, contrast, saturation = tl.load(row + BRIGHTNESS), tl.load(row + CONTRAST), tl.load(row + SATURATION)
    red, green, blue = _clip(factor * red), _clip(factor * green), _clip(factor * blue)
    red, green = _clip(mean + contrast * (red - mean)), _clip(mean + contrast * (green - mean))
    blue = _clip(mean + contrast * (blue - mean))
    grey = _luma(red, green, blue)
    red, green = _clip(grey + saturation * (red - grey)), _clip(grey + saturation * (green - grey))
    return red, green, _clip(grey + saturation * (blue - grey))


@triton.jit
def _halo(red, green, blue, row, mean, ring, CHANNELS: tl.constexpr):
    amount = tl.load(row + HALO_STRENGTH) * mean
    one, two, three = tl.load(row + HALO_COLOR), tl.load(row + HALO_COLOR + 1), tl.load(row + HALO_COLOR + 2)
    if CHANNELS == 1:
        one = _luma(one, two, three)
        two, three = one, one
    return _clip(red + amount * one * ring), _clip(green + amount * two * ring), _clip(blue + amount * three * ring)


@triton.jit
def sums(
    image, mask, fields, rows, partial, row_stride, pixels, parts, span,
    STAGE: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """One sum per program over `span` pixels, into the slots 0 (luma) and 3 (mask), 1 (color) or 2 (halo)."""
    number = _turn(STAGE == 1)
    sample = (number // parts).to(tl.int64)
    part = number % parts
    row = rows + sample * row_stride
    if (_bits(row) & ILLUMINATION) == 0:
        return
    image += sample * CHANNELS * pixels
    partial += sample * 4 * PARTS
    total = tl.zeros((BLOCK,), dtype=tl.float32)
    field = tl.zeros((BLOCK,), dtype=tl.float32)
    mean, lit = 0.0, 0.0
    if STAGE >= 1:
        mean = tl.sum(_parts(partial, 0, parts)) / pixels
    if STAGE == 2:
        lit = tl.sum(_parts(partial, 1, parts)) / (3.0 * pixels)
    for start in range(part * span, (part + 1) * span, BLOCK):
        place = start + tl.arange(0, BLOCK)
        inside = place < pixels
        red, green, blue = _load(image, place, pixels, inside, CHANNELS)
        if STAGE == 0:
            factor = tl.load(row + BRIGHTNESS)
            total += _luma(_clip(factor * red), _clip(factor * green), _clip(factor * blue))
            field += tl.load(mask + sample * pixels + place, mask=inside, other=0.0)
        else:
            red, green, blue = _color(red, green, blue, row, mean)
            if STAGE == 2:
                ring = tl.load(fields + sample * 2 * pixels + place, mask=inside, other=0.0).to(tl.float32)
                red, green, blue = _halo(red, green, blue, row, lit, ring, CHANNELS)
            total += tl.where(inside, red + green + blue, 0.0)
    tl.store(partial + STAGE * PARTS + part, tl.sum(total))
    if STAGE == 0:
        tl.store(partial + 3 * PARTS + part, tl.sum(field))


@triton.jit
def light(
    image, mask, fields, rows, records, partial, target, result,
    row_stride, stride, length, spots, height, width, parts,
    CHANNELS: tl.constexpr, COUNT: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Illumination and spots -> `target`, for the blur; or, times the mask, `result`. `records` are the spots'."""
    tiles_x = tl.cdiv(width, COLUMNS)
    tiles = tl.cdiv(height, ROWS) * tiles_x
    number = _turn(True)
    sample = (number // tiles).to(tl.int64)
    tile = number % tiles
    row = rows + sample * row_stride
    bits = _bits(row)
    pixels = height * width
    top, left = tile // tiles_x * ROWS, tile % tiles_x * COLUMNS
    lines, columns = top + tl.arange(0, ROWS), left + tl.arange(0, COLUMNS)
    place = lines[:, None] * width + columns[None, :]
    inside = (lines < height)[:, None] & (columns < width)[None, :]
    red, green, blue = _load(image + sample * CHANNELS * pixels, place, pixels, inside, CHANNELS)
    if (bits & ILLUMINATION) != 0:
        fields += sample * 2 * pixels
        ring = tl.load(fields + place, mask=inside, other=0.0).to(tl.float32)
        dark = tl.load(fields + pixels + place, mask=inside, other=0.0).to(tl.float32)
        partial += sample * 4 * PARTS
        # all asked for before the first is waited for
        luma, lit, haloed = _parts(partial, 0, parts), _parts(partial, 1, parts), _parts(partial, 2, parts)
        area = 3.0 * tl.maximum(tl.sum(_parts(partial, 3, parts)), 1.0 / CHANNELS)
        mean = tl.sum(haloed) / area
        luma_mean, lit_mean = tl.sum(luma) / pixels, tl.sum(lit) / (3.0 * pixels)
        red, green, blue = _color(red, green, blue, row, luma_mean)
        red, green, blue = _halo(red, green, blue, row, lit_mean, ring, CHANNELS)
        amplitude = tl.load(row + HOLE_DEPTH) + tl.load(row + HOLE_SLOPE) * mean
        dark *= tl.where(mean > tl.load(row + HOLE_THRESHOLD), amplitude, 0.0)
        red, green, blue = _clip(red - dark), _clip(green - dark), _clip(blue - dark)
    if COUNT > 0 and (bits & SPOTS) != 0:
        records += sample * stride
        glow = glow_of(row, records, length, spots, top, left, height, width, COUNT, ROWS, COLUMNS)
        red, green, blue = _clip(red + glow), _clip(green + glow), _clip(blue + glow)
    if (bits & BLUR) != 0:
        _store(target + sample * CHANNELS * pixels, place, pixels, inside, red, green, blue, CHANNELS)
    else:
        field = tl.load(mask + sample * pixels + place, mask=inside, other=0.0)
        result += sample * CHANNELS * pixels
        _store(result, place, pixels, inside, red * field, green * field, blue * field, CHANNELS)


@triton.jit
def blur(
    source, mask, rows, records, target, row_stride, stride, length, spots, height, width,
    AXIS: tl.constexpr, MASKED: tl.constexpr, CHANNELS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The blur along one axis, 0 for x and 1 for y; after x, the second, clipped. `records` are the blur's."""
    tiles_x = tl.cdiv(width, COLUMNS)
    tiles = tl.cdiv(height, ROWS) * tiles_x
    number = _turn(AXIS == 0)
    sample = (number // tiles).to(tl.int64)
    tile = number % tiles
    row = rows + sample * row_stride
    if (_bits(row) & BLUR) == 0:
        return
    weights = records + sample * stride + AXIS * 3 * length
    reach = reach_in(row, 3 + AXIS, spots, tl.minimum(height, width), length)
    pixels = height * width
    lines, columns = tile // tiles_x * ROWS + tl.arange(0, ROWS), tile % tiles_x * COLUMNS + tl.arange(0, COLUMNS)
    if AXIS == 0:
        columns = tl.max_contiguous(columns, 1)  # shifted, no four columns are aligned: one per thread and load
    place = lines[:, None] * width + columns[None, :]
    inside = (lines < height)[:, None] & (columns < width)[None, :]
    field = tl.full((ROWS, COLUMNS), 1.0, tl.float32)
    if MASKED:
        field = tl.load(mask + sample * pixels + place, mask=inside, other=0.0)
    for channel in tl.static_range(CHANNELS):
        plane = source + (sample * CHANNELS + channel) * pixels
        total = tl.load(weights) * tl.load(plane + place, mask=inside, other=0.0)
        for lag in range(1, reach + 1):
            if AXIS == 0:
                before, after = _mirrored(columns, lag, width)
                pair = tl.load(plane + lines[:, None] * width + before[None, :], mask=inside, other=0.0)
                pair += tl.load(plane + lines[:, None] * width + after[None, :], mask=inside, other=0.0)
            else:
                before, after = _mirrored(lines, lag, height)
                pair = tl.load(plane + before[:, None] * width + columns[None, :], mask=inside, other=0.0)
                pair += tl.load(plane + after[:, None] * width + columns[None, :], mask=inside, other=0.0)
            total += tl.load(weights + lag) * pair
        if AXIS == 0:
            total = _clip(total) * field
        out = target + (sample * CHANNELS + channel) * pixels + place
        tl.store(out, total.to(target.dtype.element_ty), mask=inside)


@triton.jit
def _mirrored(at, lag, size):
    """The indices `lag` before and after, reflected at the borders without repeating the edge."""
    before, after = tl.abs(at - lag), size - 1 - tl.abs(size - 1 - at - lag)
    return tl.minimum(before, size - 1), tl.maximum(after, 0)


@triton.jit
def noise(
    source, mask, rows, result, row_stride, pixels, count, blocks, programs, scale, tag: tl.int64,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Normals times the noise's deviation times `scale`, then the mask; the numbers are those of `keyed.normals`."""
    sample = (tl.program_id(0) // programs).to(tl.int64)
    row = rows + sample * row_stride
    if (_bits(row) & BLUR) == 0:
        return
    index = tl.program_id(0) % programs * BLOCK + tl.arange(0, BLOCK)
    k0 = tl.load(row + NOISE_KEY).to(tl.uint32, bitcast=True)
    k1 = tl.load(row + NOISE_KEY + 1).to(tl.uint32, bitcast=True)
    c2, c3 = split_key(tag)
    w0, w1, w2, w3 = philox(index.to(tl.uint32), 0, c2, c3, k0, k1)
    n0, n1 = gaussian(w0, w1)
    n2, n3 = gaussian(w2, w3)
    deviation = tl.load(row + NOISE) * scale
    inside = index < blocks
    mask += sample * pixels
    source += sample * count
    result += sample * count
    _add(source, mask, result, n0 * deviation, index, pixels, count, inside)
    _add(source, mask, result, n1 * deviation, index + blocks, pixels, count, inside)
    _add(source, mask, result, n2 * deviation, index + 2 * blocks, pixels, count, inside)
    _add(source, mask, result, n3 * deviation, index + 3 * blocks, pixels, count, inside)


@triton.jit
def _add(source, mask, result, change, place, pixels, count, inside):
    inside = inside & (place < count)
    value = _clip(tl.load(source + place, mask=inside, other=0.0) + change)
    value *= tl.load(mask + place % pixels, mask=inside, other=0.0)
    tl.store(result + place, value.to(result.dtype.element_ty), mask=inside)
