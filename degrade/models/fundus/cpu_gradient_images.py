"""The stages of one image forwards, as far as the way back needs them, and backwards: a kernel to each group of stages.

Each is compiled when a call first needs it. Images are those in the frame, (C, H, W) float32, and are written to.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.fov.cpu_frames import box
from degrade.jit.compiler import inner_kernel, kernel
from degrade.models.fundus import cpu_stages
from degrade.models.fundus import table as at
from degrade.models.fundus.cpu_gradient_light import brightness_adjoint, color_adjoint, halo_adjoint, hole_adjoint
from degrade.models.fundus.cpu_wide import dark_lines, length, light_of, pixel, ring_lines
from degrade.ops.blur_adjoint_cpu import blur_adjoint
from degrade.ops.blur_cpu import blur, window_for
from degrade.ops.constants import LUMA, REFERENCE_SIDE
from degrade.ops.fields_adjoint_cpu import field_adjoint
from degrade.ops.taps_cpu import taps, taps_adjoint, taps_and_one
from degrade.rng.cpu import BLOCK, normal_pairs, word_blocks

Array = NDArray[np.float32]
Sums = NDArray[np.float64]


@kernel
def frame_of(mask: Array, place: NDArray[np.int64]) -> None:
    """`degrade.fov.frame.of_mask` of a mask (H, W), into `place` (4,)."""
    box(mask, place)


@kernel
def illuminate(
    image: Array,
    row: Array,
    area: float,
    interpolate: bool,
    weights: Array,
    softness: float,
    lines: Array,
    planes: Array,
    colored: Array,
    lit: Array,
) -> tuple[Any, Array, Array, Array, Array]:
    """Color, halo and hole; `planes` (2, H, W) are where the fields are.

    Returns:
        the mean luma, the mean of the colored image, and that of the one with the halo inside the field; the lines of
        ring and dark disk, each with the weights between them.
    """
    means: Any = np.zeros(3)
    zero: Any = np.int64(0)  # a plain 0 would have every callee compiled twice
    cpu_stages.copy(image, colored)
    brightness = row[at.BRIGHTNESS]
    means[0] = cpu_stages.mean_luma(image, brightness)
    means[1] = cpu_stages.color(colored, np.float32(means[0]), brightness, row[at.CONTRAST], row[at.SATURATION])
    cpu_stages.copy(colored, lit)
    ring, ring_weights = ring_lines(row, interpolate, weights, softness, lines, planes[0])
    amount = row[at.HALO_STRENGTH] * means[1]
    mean = cpu_stages.halo(lit, light_of(row, amount, len(lit)), ring, ring_weights) if amount != 0 else means[1]
    means[2] = mean / max(area, 1e-6)
    dark, dark_weights = dark_lines(row, interpolate, weights, softness, lines, planes[1])
    depth = _depth(row, means[2])
    if depth != 0:
        cpu_stages.hole(lit, np.float32(depth), dark, dark_weights, zero, lit.shape[1])
    return means, ring, ring_weights, dark, dark_weights


@inner_kernel
def _depth(row: Array, mean: float) -> float:
    return row[at.HOLE_DEPTH] + row[at.HOLE_SLOPE] * mean if mean > row[at.HOLE_THRESHOLD] else 0.0


@kernel
def illumination_adjoint(
    image: Array,
    colored: Array,
    row: Array,
    area: float,
    softness: float,
    means: Sums,
    ring: Array,
    ring_weights: Array,
    dark: Array,
    dark_weights: Array,
    halo_too: bool,
    hole_too: bool,
    g: Array,
    to_row: Sums,
) -> None:
    """From the derivatives in the illuminated image, `g`, to those in the image, in place, and in the parameters.

    Args:
        image, colored: what `illuminate` was given, and what it has left.
        means, ring, ring_weights, dark, dark_weights: what it returned.
        halo_too, hole_too: whether the derivatives in the shapes of halo and hole are asked for.
        to_row: added to, in the columns of `row`.
    """
    numbers, channels = g.size, len(g)
    amount, more = row[at.HALO_STRENGTH] * means[1], 0.0
    light, color = light_of(row, amount, channels), light_of(row, np.float32(1), channels)
    if means[2] > row[at.HOLE_THRESHOLD]:
        depth = _depth(row, means[2])
        to_dark = _like(dark, hole_too and depth != 0)
        to_depth = hole_adjoint(colored, light, ring, ring_weights, np.float32(depth), dark, dark_weights, g, to_dark)
        to_row[at.HOLE_DEPTH] += to_depth
        to_row[at.HOLE_SLOPE] += to_depth * means[2]
        more = to_depth * row[at.HOLE_SLOPE] / (max(area, 1e-6) * numbers)
        if len(to_dark):
            _hole_shape(row, softness, -depth, to_dark, dark_weights, g.shape, to_row)
    to_ring, to_light = _like(ring, halo_too and amount != 0), np.zeros(channels)
    halo_adjoint(colored, light, ring, ring_weights, np.float32(more), g, to_ring, to_light)
    to_amount = 0.0
    for c in range(channels):
        to_amount += to_light[c] * color[c]
    for c in range(3):
        to_row[at.HALO_COLOR + c] += amount * (to_light[c] if channels == 3 else LUMA[c] * to_light[0])
    to_row[at.HALO_STRENGTH] += to_amount * means[1]
    if len(to_ring):
        _halo_shape(row, softness, to_ring, ring_weights, g.shape, to_row)
    more = to_amount * row[at.HALO_STRENGTH] / numbers
    factors = to_row[at.BRIGHTNESS :]
    brightness, contrast, saturation = row[at.BRIGHTNESS], row[at.CONTRAST], row[at.SATURATION]
    mean = np.float32(means[0])
    to_mean = color_adjoint(image, mean, brightness, contrast, saturation, np.float32(more), g, factors)
    to_row[at.BRIGHTNESS] += brightness_adjoint(image, brightness, np.float32(to_mean * channels / numbers), g)


@inner_kernel
def _like(lines: Array, wanted: bool) -> Array:
    """Zeros for the derivatives in lines; no line if they are not asked for."""
    made = np.empty((lines.shape[0] if wanted else 0, lines.shape[1]), np.float32)
    for i in range(len(made)):
        for j in range(made.shape[1]):
            made[i, j] = np.float32(0)
    return made


@inner_kernel
def _halo_shape(row: Array, softness: Any, to_ring: Array, weights: Array, shape: Any, to_row: Sums) -> None:
    size, side, at_sigma = (shape[1], shape[2]), min(shape[1], shape[2]), row[at.HALO_SIGMA]
    half = taps_and_one(row[at.HALO_KERNEL], at_sigma, side)
    center = pixel(row[at.HALO_CENTER], row[at.HALO_CENTER + 1], size)
    inner, outer = length(row[at.HALO_INNER], side), length(row[at.HALO_OUTER], side)
    to_half, to_disks, soft = np.zeros(len(half)), np.zeros(4), length(softness, side)
    if inner == outer:  # no ring, and the slope of |0| is 0
        return
    low, high = min(inner, outer), max(inner, outer)
    field_adjoint(to_ring, weights, size, center, low, high, soft, half, half, to_disks, to_half, to_half)
    to_size, to_sigma = taps_adjoint(row[at.HALO_KERNEL], at_sigma, side, to_half)
    to_row[at.HALO_KERNEL] += to_size
    to_row[at.HALO_SIGMA] += to_sigma
    to_row[at.HALO_CENTER] += to_disks[0] * shape[2]
    to_row[at.HALO_CENTER + 1] += to_disks[1] * shape[1]
    to_row[at.HALO_INNER if inner < outer else at.HALO_OUTER] += to_disks[2] * side
    to_row[at.HALO_OUTER if inner < outer else at.HALO_INNER] += to_disks[3] * side


@inner_kernel
def _hole_shape(
    row: Array, softness: Any, scale: float, to_dark: Array, weights: Array, shape: Any, to_row: Sums
) -> None:
    size, side, sigma = (shape[1], shape[2]), min(shape[1], shape[2]), row[at.HOLE_SIGMA]
    x_size, y_size = row[at.HOLE_KERNEL], row[at.HOLE_KERNEL + 1]
    across, down = taps_and_one(x_size, sigma, side), taps_and_one(y_size, sigma, side)
    center, radius = pixel(row[at.HOLE_CENTER], row[at.HOLE_CENTER + 1], size), length(row[at.HOLE_RADIUS], side)
    to_across, to_down, to_disks = np.zeros(len(across)), np.zeros(len(down)), np.zeros(4)
    soft = length(softness, side)
    field_adjoint(to_dark, weights, size, center, -1.0, radius, soft, across, down, to_disks, to_across, to_down)
    to_x, to_sigma_x = taps_adjoint(x_size, sigma, side, to_across)
    to_y, to_sigma_y = taps_adjoint(y_size, sigma, side, to_down)
    to_row[at.HOLE_KERNEL] += scale * to_x
    to_row[at.HOLE_KERNEL + 1] += scale * to_y
    to_row[at.HOLE_SIGMA] += scale * (to_sigma_x + to_sigma_y)
    to_row[at.HOLE_CENTER] += scale * to_disks[0] * shape[2]
    to_row[at.HOLE_CENTER + 1] += scale * to_disks[1] * shape[1]
    to_row[at.HOLE_RADIUS] += scale * to_disks[3] * side


@kernel
def blurred(image: Array, row: Array, out: Array) -> None:
    """The blurred image into `out`."""
    zero: Any = np.int64(0)  # a plain 0 would have every callee compiled twice
    side, sigma = min(image.shape[1], image.shape[2]), row[at.BLUR_SIGMA]
    across, down = taps(row[at.BLUR_KERNEL], sigma, side), taps(row[at.BLUR_KERNEL + 1], sigma, side)
    whole = np.ones((1, image.shape[2]), np.float32)
    window = window_for(len(image), image.shape[2], down)
    blur(image, across, down, whole, out, zero, image.shape[1], window, zero, zero)


@kernel
def optics_adjoint(image: Array, row: Array, blur_too: bool, g: Array, plane: Array, to_row: Sums) -> None:
    """From the derivatives in the blurred image, `g`, to those in the image, in place, and in the blur's parameters."""
    side, sigma = min(image.shape[1], image.shape[2]), row[at.BLUR_SIGMA]
    x_size, y_size = row[at.BLUR_KERNEL], row[at.BLUR_KERNEL + 1]
    across, down = taps_and_one(x_size, sigma, side), taps_and_one(y_size, sigma, side)
    to_across, to_down = np.zeros(len(across)), np.zeros(len(down))
    blur_adjoint(image, across, down, blur_too, g, plane, to_across, to_down)
    to_x, to_sigma_x = taps_adjoint(x_size, sigma, side, to_across)
    to_y, to_sigma_y = taps_adjoint(y_size, sigma, side, to_down)
    to_row[at.BLUR_KERNEL] += to_x
    to_row[at.BLUR_KERNEL + 1] += to_y
    to_row[at.BLUR_SIGMA] += to_sigma_x + to_sigma_y


@kernel
def noise_adjoint(image: Array, row: Array, words: NDArray[np.uint32], stream: Any, g: Array, to_row: Sums) -> None:
    """From the derivatives in the noisy image, `g`, to those in the one without noise, `image`, in place."""
    grain = min(image.shape[1], image.shape[2]) / REFERENCE_SIDE
    scale = np.float32(row[at.NOISE] * grain)
    key = np.uint64(words[at.NOISE_KEY]) | np.uint64(words[at.NOISE_KEY + 1]) << np.uint64(32)
    values, back = image.reshape(-1), g.reshape(-1)
    count, drawn, normals = len(values), np.empty((4, BLOCK), np.uint32), np.empty((4, BLOCK), np.float32)
    blocks, total = (count + 3) // 4, 0.0
    for start in range(0, blocks, BLOCK):
        word_blocks(drawn, start, key, stream)
        for pair in range(2):
            normal_pairs(drawn[2 * pair], drawn[2 * pair + 1], normals[2 * pair], normals[2 * pair + 1])
        for lane in range(4):  # number i is lane i // blocks of block i % blocks
            first = lane * blocks + start
            here = max(min(min(BLOCK, blocks - start), count - first), 0)
            part, to, added, summed = (
                values[first : first + here],
                back[first : first + here],
                normals[lane],
                np.float32(0),
            )
            for j in range(here):
                x = part[j] + scale * added[j]
                to[j] = to[j] if (x >= np.float32(0)) & (x <= np.float32(1)) else np.float32(0)
                summed += to[j] * added[j]
            total += float(summed)
    to_row[at.NOISE] += total * grain
