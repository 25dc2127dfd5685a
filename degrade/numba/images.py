"""The whole chain for every n-th image of a batch in one call, so that threads need the interpreter's lock but once.

Contrast, halo and hole each need the mean of what came before, and so a pass over the image of their own. The rest
follows in one pass, a band of rows at a time: what the blur reads is in cache when hole and spots have written it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fundus.law import BLUR, ILLUMINATION, SPOTS
from degrade.numba import chain
from degrade.numba.blur import ROWS, blur, window_for
from degrade.numba.fields import wide_field
from degrade.numba.jit import kernel
from degrade.numba.random import add_normals
from degrade.numba.spots import add_spot, disk_lines

Array = NDArray[np.float32]

_BAND = 1 << 17  # numbers of a band of rows: half a mebibyte, half of what a second-level cache holds


@kernel
def degrade_images(
    first: int,
    stride: int,
    scratch: Array,
    image: Array,
    patterns: NDArray[np.uint32],
    mask: Array,
    suspicious: NDArray[np.bool_],
    out: Array,
    types: Any,
    tone: Array,
    light: Array,
    halo: Any,
    hole: Any,
    spots: Any,
    steps: Any,
    halo_half: Array,
    hole_half: Array,
    spot_half: Array,
    blur_half: Array,
    weights: Array,
    grain: Any,
    words: Any,
) -> None:
    """Degrades the images first, first + stride, ... into `out`; lengths are in pixels.

    Args:
        scratch: (2, H, W) to write to.
        image, patterns: (B, C, H, W), the floats and their bits.
        mask: (B, 1, H, W).
        suspicious: (B,), set where an image may hold more than numbers from 0 to 1.
        out: (B, C, H, W).
        types: (B,), the bits of the stages.
        tone: (B, 3), brightness, contrast, saturation.
        light: (B, C), the colour of the halo.
        halo: (B, 5) float64: centre x, y, inner and outer radius, strength.
        hole: (B, 6) float64: centre x, y, radius, depth, slope, threshold.
        spots: (B, N, 4) float64: centre x, y, radius, height.
        steps: (B, 2): powers of two, by which the nodes of halo and hole are apart: 0 for 1, 1 for 2, ...
        halo_half, hole_half, spot_half, blur_half: (B, T), (B, 2, T), (B, N, 2, T), (B, 2, T): taps, centre first;
            two are along x and y.
        weights: (powers, largest step, 6): `weights_between` of each step.
        grain: (B,) float64, the noise's standard deviation.
        words: (B, 4) uint32: of the noise's key and stream.
    """
    rows, plane = scratch[0], scratch[1]
    for i in range(first, len(image), stride):
        source, inside, picture = image[i], mask[i, 0], out[i]
        bits = types[i]
        depth, dark, between = np.float32(0), plane, weights[0]
        if bits & ILLUMINATION:
            b, c, s = tone[i]
            middle, most = chain.mean_luma(source, patterns[i], b)
            mean = chain.colour(source, np.float32(middle), b, c, s, picture)
            x, y, inner, outer, strength = halo[i]
            if strength * mean != 0:
                half, step = _own(halo_half[i]), 2 ** steps[i, 0]
                ring = wide_field((x, y), inner, outer, half, half, step, rows, plane)
                mean = chain.halo(picture, np.float32(strength * mean) * light[i], ring, weights[steps[i, 0], :step])
            mean /= max(chain.mean_of(mask[i]), 1e-6)
            x, y, radius, base, slope, threshold = hole[i]
            if mean > threshold and base + slope * mean != 0:
                across, down, step = _own(hole_half[i, 0]), _own(hole_half[i, 1]), 2 ** steps[i, 1]
                dark = wide_field((x, y), -1.0, radius, across, down, step, rows, plane)
                depth, between = np.float32(base + slope * mean), weights[steps[i, 1], :step]
        else:
            most = chain.largest(patterns[i], 0, image.shape[2])
            if bits != BLUR:
                picture[:] = source
        suspicious[i] = most > chain.ONE_AS_BITS
        before = source if bits == BLUR else picture
        spotted = spots[i] if bits & SPOTS else spots[i, :0]
        _finish(bits, before, depth, dark, between, spotted, spot_half[i], blur_half[i], inside, out[i])
        if bits & BLUR and grain[i] != 0:
            add_normals(out[i].reshape(-1), np.float32(grain[i]), words[i])
            chain.times(out[i], inside, 0, len(inside))


@kernel
def _finish(
    bits: Any,
    image: Array,
    depth: Any,
    dark: Array,
    weights: Array,
    spots: Any,
    spot_half: Array,
    blur_half: Array,
    mask: Array,
    out: Array,
) -> None:
    """Hole (unless its depth is 0) and spots in place, then the blur if `bits` ask for it, and the mask.

    The blur's result is in `out`, which may be the image itself; without a blur it has to be.
    """
    channels, height, width = image.shape
    across, down = _own(blur_half[0]), _own(blur_half[1])
    reach = len(down) - 1 if bits & BLUR else 0
    present = np.flatnonzero(spots[:, 3])
    disks = [disk_lines(spots[n], spots[n, 2], _own(spot_half[n, 0]), _own(spot_half[n, 1])) for n in present]
    window = window_for(channels, width, down)
    band = max(_BAND // (channels * width) // ROWS, 1) * ROWS
    ready = 0
    for begin in range(0, height, band):
        end = min(begin + band, height)
        needed = min(end + reach, height)
        if depth != 0:
            chain.hole(image, depth, dark, weights, ready, needed)
        for k, n in enumerate(present):
            x_half, y_half, radius, level = _own(spot_half[n, 0]), _own(spot_half[n, 1]), spots[n, 2], spots[n, 3]
            add_spot(image, spots[n], radius, np.float32(level), disks[k], x_half, y_half, ready, needed)
        ready = needed
        if bits & BLUR:
            blur(image, across, down, mask, out, begin, end, window)
        else:
            chain.times(image, mask, begin, end)


@kernel
def _own(half: Array) -> Array:
    """The taps that this kernel has of those that the batch's largest has."""
    count = len(half)
    while count > 1 and half[count - 1] == 0:
        count -= 1
    return half[:count]
