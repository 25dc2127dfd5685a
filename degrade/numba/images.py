"""The whole chain for every n-th image of a batch in one call, so that threads need the interpreter's lock but once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fundus.law import BLUR, ILLUMINATION, SPOTS
from degrade.numba import chain
from degrade.numba.fields import wide_field
from degrade.numba.jit import kernel
from degrade.numba.random import add_normals

Array = NDArray[np.float32]


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
        scratch: (C + 3, H, W) to write to.
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
    channels = image.shape[1]
    picture, ring, dark, rows = scratch[:channels], scratch[channels], scratch[channels + 1], scratch[channels + 2]
    for i in range(first, len(image), stride):
        source, inside = image[i], mask[i, 0]
        suspicious[i] = chain.largest(patterns[i]) > chain.ONE_AS_BITS
        bits = types[i]
        if bits & ILLUMINATION:
            b, c, s = tone[i]
            mean = chain.colour(source, b, c, s, picture)
            x, y, inner, outer, strength = halo[i]
            if strength * mean != 0:
                half, step = _own(halo_half[i]), steps[i, 0]
                wide_field((x, y), inner, outer, half, half, 2**step, weights[step], rows, ring)
                mean = chain.halo(picture, np.float32(strength * mean) * light[i], ring)
            mean /= max(chain.mean_of(mask[i]), 1e-6)
            x, y, radius, depth, slope, threshold = hole[i]
            if mean > threshold and depth + slope * mean != 0:
                across, down, step = _own(hole_half[i, 0]), _own(hole_half[i, 1]), steps[i, 1]
                wide_field((x, y), -1.0, radius, across, down, 2**step, weights[step], rows, dark)
                chain.hole(picture, np.float32(depth + slope * mean), dark)
        elif bits & SPOTS:
            picture[:] = source
        if bits & SPOTS:
            for n in range(spots.shape[1]):
                x, y, radius, height = spots[i, n]
                if height != 0:
                    across, down = _own(spot_half[i, n, 0]), _own(spot_half[i, n, 1])
                    chain.spot(picture, (x, y), radius, np.float32(height), across, down)
        before = picture if bits & (ILLUMINATION | SPOTS) else source
        if bits & BLUR:
            chain.blur(before, _own(blur_half[i, 0]), _own(blur_half[i, 1]), inside, out[i])
            if grain[i] != 0:
                add_normals(out[i].reshape(-1), np.float32(grain[i]), words[i])
                chain.times(out[i], inside, out[i])
        else:
            chain.times(before, inside, out[i])


@kernel
def _own(half: Array) -> Array:
    """The taps that this kernel has of those that the batch's largest has."""
    count = len(half)
    while count > 1 and half[count - 1] == 0:
        count -= 1
    return half[:count]
