"""The whole chain for a thread's share of a batch in one call, so that threads need the interpreter's lock but once.

Contrast, halo and hole each need the mean of what came before, and so a pass over the image of their own. The rest
follows in one pass, a band of rows at a time: what the blur reads is in cache when hole and spots have written it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import kernel
from degrade.jit.threads import take
from degrade.models.fundus import cpu_stages as chain
from degrade.models.fundus.cpu_spots import add_spot, disk_lines
from degrade.models.fundus.parts import SMOOTH
from degrade.models.fundus.sampling import BLUR, ILLUMINATION, SPOTS
from degrade.ops.blur import REFERENCE_SIDE
from degrade.ops.blur_cpu import ROWS, blur, window_for
from degrade.ops.color import LUMA
from degrade.ops.fields_cpu import reach_of, taps, wide_field
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
    types: Any,
    tone: Any,
    halo: Any,
    hole: Any,
    spots: Any,
    blurs: Any,
    noise: Any,
    interpolate: bool,
    weights: Array,
    stream: Any,
) -> None:
    """Degrades images into `out`, until there are none left that no thread has taken.

    Args:
        progress: (3,), 0 at first and the same for all threads: how many images have been taken, and whether there are
            some that may hold more than numbers from 0 to 1, and some whose blur needs more than a frame can mirror.
        scratch: (2, H, W) to write to.
        image, patterns: (B, C, H, W), the floats and their bits.
        mask: (B, 1, H, W).
        out: (B, C, H, W).
        types, tone, halo, hole, spots, blurs, noise: the parameters, a tuple of arrays (B, ...) each.
        interpolate: whether halo and hole may be, where their kernels are wide.
        weights: (powers, largest step, 6): `weights_between` of the steps 1, 2, 4, ...
        stream: the two words of the noise's.
    """
    rows, plane = scratch[0], scratch[1]
    for _ in range(len(image)):
        i = take(progress)
        if i >= len(image):
            return
        source, picture, bits = image[i], out[i], types[0][i]
        side = min(plane.shape)
        if max(reach_of(blurs[0][i, 0], side), reach_of(blurs[0][i, 1], side)) >= side:
            progress[2] = 1  # a loop that leaves its array is not stopped
            continue
        depth, dark, between = np.float32(0), plane, weights[0]
        if bits & ILLUMINATION:
            brightness, contrast, saturation = tone[0][i], tone[1][i], tone[2][i]
            middle, most = chain.mean_luma(source, patterns[i], brightness)
            mean = chain.colour(source, np.float32(middle), brightness, contrast, saturation, picture)
            mean = _halo(i, halo, mean, interpolate, weights, rows, plane, picture)
            mean /= max(chain.mean_of(mask[i]), 1e-6)
            depth, dark, between = _hole(i, hole, mean, interpolate, weights, rows, plane)
        else:
            most = chain.largest(patterns[i], 0, image.shape[2])
            if bits != BLUR:
                picture[:] = source
        if most > chain.ONE_AS_BITS:
            progress[1] = 1
        before = source if bits == BLUR else picture
        across, down = taps(blurs[0][i, 0], blurs[1][i], side), taps(blurs[0][i, 1], blurs[1][i], side)
        disks = _disks(i, spots, picture.shape, bits & SPOTS)
        _finish(bits, before, depth, dark, between, disks, across, down, mask[i, 0], picture)
        if bits & BLUR and noise[0][i] != 0:
            grain = noise[0][i] * (side / REFERENCE_SIDE)
            add_normals(picture.reshape(-1), np.float32(grain), np.uint64(noise[1][i]), stream)
            chain.times(picture, mask[i, 0], 0, len(plane))


@kernel
def _halo(
    i: int, halo: Any, mean: float, interpolate: bool, weights: Array, rows: Array, plane: Array, image: Array
) -> float:
    """The light leak of image i, whose mean is `mean`, in place; returns the mean of the result."""
    center, inner, outer, kernel_size, sigma, strength, color = halo
    amount, side = strength[i] * mean, min(plane.shape)
    if amount == 0:
        return mean
    power = _power(kernel_size[i] * side, interpolate, weights)
    half, radii = taps(kernel_size[i], sigma[i], side), (_length(inner[i], side), _length(outer[i], side))
    ring = wide_field(_pixel(center[i], plane.shape), min(radii), max(radii), half, half, 2**power, rows, plane)
    light = np.empty(len(image), np.float32)
    if len(image) == 1:
        light[0] = amount * (LUMA[0] * color[i, 0] + LUMA[1] * color[i, 1] + LUMA[2] * color[i, 2])
    else:
        for c in range(len(image)):
            light[c] = amount * color[i, c]
    return chain.halo(image, light, ring, weights[power, : 2**power])


@kernel
def _hole(
    i: int, hole: Any, mean: float, interpolate: bool, weights: Array, rows: Array, plane: Array
) -> tuple[Any, Array, Array]:
    """The dark disk of image i, whose mean inside the field is `mean`: depth, lines, and the weights between them."""
    center, radius, kernel_size, sigma, base, slope, threshold = hole
    depth, side = base[i] + slope[i] * mean, min(plane.shape)
    if not mean > threshold[i] or depth == 0:
        return np.float32(0), plane, weights[0]
    power = _power(min(kernel_size[i, 0], kernel_size[i, 1]) * side, interpolate, weights)
    across, down = taps(kernel_size[i, 0], sigma[i], side), taps(kernel_size[i, 1], sigma[i], side)
    at = _pixel(center[i], plane.shape)
    dark = wide_field(at, -1.0, _length(radius[i], side), across, down, 2**power, rows, plane)
    return np.float32(depth), dark, weights[power, : 2**power]


@kernel
def _disks(i: int, spots: Any, shape: tuple[int, int, int], wanted: int) -> list[Any]:
    """The spots of image i, none unless `wanted`: centre, radius, height, taps along x and y, and lines."""
    center, radius, height, kernel_size, sigma = spots
    side = min(shape[1:])
    present = np.flatnonzero(height[i]) if wanted else np.flatnonzero(height[i, :0])
    disks = []
    for n in present:
        x_half, y_half = taps(kernel_size[i, n, 0], sigma[i, n], side), taps(kernel_size[i, n, 1], sigma[i, n], side)
        at, reach = _pixel(center[i, n], shape[1:]), _length(radius[i, n], side)
        disks.append((at, reach, height[i, n], x_half, y_half, disk_lines(at, reach, x_half, y_half)))
    return disks


@kernel
def _pixel(center: Any, size: tuple[int, int]) -> tuple[float, float]:
    """Column and row of a centre in fractions of the frame; pixel i is centred at (i + 1/2) / W."""
    return _length(center[0], size[1]) - 0.5, _length(center[1], size[0]) - 0.5


@kernel
def _length(fraction: Any, side: int) -> float:
    """In pixels, of a fraction of so many."""
    return float(fraction) * side


@kernel
def _power(kernel_size: float, interpolate: bool, weights: Array) -> int:
    """How often the distance of a field's nodes may be doubled, `degrade.models.fundus.parts.grid_step`."""
    power = 0
    while interpolate and power + 1 < len(weights) and SMOOTH * 2 ** (power + 1) <= kernel_size:
        power += 1
    return power


@kernel
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
) -> None:
    """Hole (unless its depth is 0) and spots in place, then the blur if `bits` ask for it, and the mask.

    The blur's result is in `out`, which may be the image itself; without a blur it has to be.
    """
    channels, height, width = image.shape
    reach = len(down) - 1 if bits & BLUR else 0
    window = window_for(channels, width, down)
    band = max(_BAND // (channels * width) // ROWS, 1) * ROWS
    ready = 0
    for begin in range(0, height, band):
        end = min(begin + band, height)
        needed = min(end + reach, height)
        if depth != 0:
            chain.hole(image, depth, dark, weights, ready, needed)
        for center, radius, level, x_half, y_half, lines in disks:
            add_spot(image, center, radius, level, lines, x_half, y_half, ready, needed)
        ready = needed
        if bits & BLUR:
            blur(image, across, down, mask, out, begin, end, window)
        else:
            chain.times(image, mask, begin, end)
