"""The whole chain for a thread's share of a batch in one call, so that threads need the interpreter's lock but once.

Contrast, halo and hole each need the mean of what came before, and so a pass over the image of their own. The rest
follows in one pass, a band of rows at a time: what the blur reads is in cache when hole and spots have written it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fov.cpu_frames import box, clear_around
from degrade.jit.compiler import inner_kernel, kernel
from degrade.jit.threads import take
from degrade.models.fundus import cpu_frames, cpu_stages
from degrade.models.fundus import table as at
from degrade.models.fundus.constants import BLUR, ILLUMINATION, SPOTS
from degrade.models.fundus.cpu_spots import add_spot, disk_lines
from degrade.models.fundus.cpu_wide import dark_lines, length, light_of, pixel, ring_lines
from degrade.ops.blur_cpu import ROWS, blur, window_for
from degrade.ops.constants import REFERENCE_SIDE
from degrade.ops.range_cpu import ONE_AS_BITS, largest_bits
from degrade.ops.taps_cpu import taps
from degrade.rng.cpu import add_normals

Array = NDArray[np.float32]

_BAND = 1 << 17  # numbers of a band of rows: half a mebibyte, half of what a second-level cache holds


@kernel
def degrade_images(
    progress: NDArray[np.int64],
    scratch: Array,
    image: Array,
    patterns: NDArray[np.uint32],
    mask: Array,
    out: Array,
    rows: Array,
    words: NDArray[np.uint32],
    spots: int,
    frames: NDArray[np.int64],
    framed: bool,
    boxes: bool,
    softness: float,
    interpolate: bool,
    weights: Array,
    stream: Any,
) -> None:
    """Degrade images into `out`, until there are none left that no thread has taken.

    Args:
        progress: (2,), 0 at first and the same for all threads: how many images have been taken, and whether there are
            some that may hold more than numbers from 0 to 1.
        scratch: (2, pixels) to write to, pixels of the largest frame; (2 + C, pixels) if `framed`.
        image, patterns: (B, C, H, W), the floats and their bits.
        mask: (B, 1, H, W).
        out: (B, C, H, W).
        rows, words: the packed parameters, (B, columns), and their bits.
        spots: N, the number of spots per image.
        frames: (B, 4), left, top, width and height of each image's frame.
        boxes: whether the frames are still to be found from the masks.
        framed: whether images are cut to their frames, black outside the mask; else each frame is the whole image.
        softness: width of the rims of halo, hole and spots, of the side.
        interpolate: whether halo and hole may be, where their kernels are wide.
        weights: (powers, largest step, 6): `weights_between` of the steps 1, 2, 4, ...
        stream: the two words of the noise's.
    """
    zero: Any = np.int64(0)  # a plain 0 would have every callee compiled twice, as would a plain False
    never: Any = np.bool_(False)
    channels = image.shape[1]
    for _ in range(len(image)):
        i = take(progress)
        if i >= len(image):
            return
        row = rows[i]
        if boxes:
            box(mask[i, 0], frames[i])
        left, top, width, height = frames[i, 0], frames[i, 1], frames[i, 2], frames[i, 3]
        lines, plane = _planes(scratch[0], height, width), _planes(scratch[1], height, width)
        bits, side = int(row[at.TYPE]), min(height, width)
        source, picture, inside, area, whole = image[i], out[i], mask[i], 0.0, False
        middle = 0.0
        if framed:
            whole = left == 0 and top == 0 and width == image.shape[3] and height == image.shape[2]
            memory = out[i].reshape(-1) if whole else scratch[2:].reshape(-1)
            picture = memory[: channels * height * width].reshape(channels, height, width)
            brightness = row[at.BRIGHTNESS] if bits & ILLUMINATION else np.float32(0)
            most, area, middle = cpu_frames.enter(source, patterns[i], mask[i, 0], left, top, picture, brightness)
            source = picture
        else:
            most = largest_bits(patterns[i], zero, height)
            if bits & ILLUMINATION:
                area = cpu_stages.mean_of(inside)
            if bits != BLUR:
                cpu_stages.copy(source, picture)
        if most > ONE_AS_BITS:
            progress[1] = 1
        depth, dark, between = np.float32(0), plane, weights[0]
        if bits & ILLUMINATION:
            brightness, contrast, saturation = row[at.BRIGHTNESS], row[at.CONTRAST], row[at.SATURATION]
            if not framed:
                middle = cpu_stages.mean_luma(picture, brightness)
            mean = cpu_stages.color(picture, np.float32(middle), brightness, contrast, saturation)
            mean = _halo(row, mean, interpolate, weights, softness, lines, plane, picture)
            mean /= max(area, 1e-6)
            depth, dark, between = _hole(row, mean, interpolate, weights, softness, lines, plane)
        before = source if bits == BLUR else picture
        sigma = row[at.BLUR_SIGMA]
        across, down = taps(row[at.BLUR_KERNEL], sigma, side), taps(row[at.BLUR_KERNEL + 1], sigma, side)
        disks = _disks(row, spots if bits & SPOTS else 0, spots, softness, picture.shape)
        noisy = bits & BLUR and row[at.NOISE] != 0
        if framed and not noisy:
            _finish(bits, before, depth, dark, between, disks, across, down, inside[0], out[i], not whole, left, top)
            clear_around(out[i], left, top, width, height)
            continue
        here = np.ones((1, width), np.float32) if noisy else inside[0]  # the mask comes after the noise
        _finish(bits, before, depth, dark, between, disks, across, down, here, picture, never, zero, zero)
        if noisy:
            grain = row[at.NOISE] * (side / REFERENCE_SIDE)
            key = np.uint64(words[i, at.NOISE_KEY]) | np.uint64(words[i, at.NOISE_KEY + 1]) << np.uint64(32)
            add_normals(picture.reshape(-1), np.float32(grain), key, stream)
            if not framed or whole:
                cpu_frames.times_in_place(picture, inside[0], zero, height)
        if framed and not whole:
            cpu_frames.times(picture, inside[0], zero, height, out[i], left, top)
            clear_around(out[i], left, top, width, height)


@inner_kernel
def _planes(scratch: Array, height: int, width: int) -> Array:
    return scratch[: height * width].reshape(height, width)


@inner_kernel
def _halo(
    row: Array, mean: float, interpolate: bool, weights: Array, softness: Any, lines: Array, plane: Array, image: Array
) -> float:
    """The light leak of an image, whose mean is `mean`, in place; returns the mean of the result."""
    amount = row[at.HALO_STRENGTH] * mean
    if amount == 0:
        return mean
    ring, between = ring_lines(row, interpolate, weights, softness, lines, plane)
    return cpu_stages.halo(image, light_of(row, amount, len(image)), ring, between)


@inner_kernel
def _hole(
    row: Array, mean: float, interpolate: bool, weights: Array, softness: Any, lines: Array, plane: Array
) -> tuple[Any, Array, Array]:
    """The dark disk of an image, whose mean inside the field is `mean`: depth, lines, and the weights between them."""
    depth = row[at.HOLE_DEPTH] + row[at.HOLE_SLOPE] * mean
    if not mean > row[at.HOLE_THRESHOLD] or depth == 0:
        return np.float32(0), plane, weights[0]
    dark, between = dark_lines(row, interpolate, weights, softness, lines, plane)
    return np.float32(depth), dark, between


@inner_kernel
def _disks(row: Array, wanted: int, spots: int, softness: Any, shape: tuple[int, int, int]) -> list[Any]:
    """The first `wanted` of an image's spots: center, radius with rim, height, taps along x and y, and lines."""
    side = min(shape[1], shape[2])
    center, kernel_size = at.SPOTS_AT + at.SPOT_CENTER * spots, at.SPOTS_AT + at.SPOT_KERNEL * spots
    radius, height = at.SPOTS_AT + at.SPOT_RADIUS * spots, at.SPOTS_AT + at.SPOT_HEIGHT * spots
    sigma = at.SPOTS_AT + at.SPOT_SIGMA * spots
    disks = []
    for n in range(wanted):
        if row[height + n] == 0:
            continue
        x_half = taps(row[kernel_size + 2 * n], row[sigma + n], side)
        y_half = taps(row[kernel_size + 2 * n + 1], row[sigma + n], side)
        place = pixel(row[center + 2 * n], row[center + 2 * n + 1], shape[1:])
        reach, soft = length(row[radius + n], side), length(softness, side)
        lines = disk_lines(place, reach, soft, x_half, y_half)
        disks.append((place, reach + soft / 2, row[height + n], x_half, y_half, lines))
    return disks


@inner_kernel
def _finish(
    bits: Any,
    image: Array,
    depth: Any,
    dark: Array,
    weights: Array,
    disks: list[Any],
    across: Array,
    down: Array,
    mask: Array,
    out: Array,
    into: bool,
    left: Any,
    top: Any,
) -> None:
    """Hole (unless its depth is 0) and spots in place, then the blur if `bits` ask for it, and the mask, into `out`.

    `into` says that `out` is not the image itself. The image's first pixel goes to (`left`, `top`) in it.
    """
    channels, height, width = image.shape
    reach = len(down) - 1 if bits & BLUR else 0
    window = window_for(channels, width, down)
    band = max(_BAND // (channels * width) // ROWS, 1) * ROWS
    ready: Any = np.int64(0)  # a plain 0 would have every callee compiled twice
    for begin in range(0, height, band):
        end = min(begin + band, height)
        needed = min(end + reach, height)
        if depth != 0:
            cpu_stages.hole(image, depth, dark, weights, ready, needed)
        for center, radius, level, x_half, y_half, lines in disks:
            add_spot(image, center, radius, level, lines, x_half, y_half, ready, needed)
        ready = needed
        if bits & BLUR:
            blur(image, across, down, mask, out, begin, end, window, left, top)
        elif into:
            cpu_frames.times(image, mask, begin, end, out, left, top)
        else:
            cpu_frames.times_in_place(image, mask, begin, end)
