"""The adjoint of `blur_cpu`: from the derivatives in a blurred image to those in the image and in the kernel's taps.

As there, four rows at a time: along x they are one long row with zeros between, whose blur runs over into these and is
folded back, as borders are reflected; along y they are a banded matrix product with the reflections in its factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel
from degrade.jit.rows import LINE, aligned
from degrade.ops.blur_cpu import ROWS, across, down, factors_of, mirrored

Array = NDArray[np.float32]
Sums = NDArray[np.float64]


@inner_kernel
def blur_adjoint(
    image: Array, x_half: Array, y_half: Array, kernel_too: bool, g: Array, plane: Array, to_x: Sums, to_y: Sums
) -> None:
    """From the derivatives in the blurred image, `g`, to those in the image, in place, and in the taps.

    Weights that add to 1 leave no number outside of [0, 1], so clipping has the derivative 1.

    Args:
        image: (C, H, W), what was blurred.
        x_half, y_half: the taps of one half of the kernel, center first.
        kernel_too: whether the derivatives in the taps are asked for.
        g: (C, H, W).
        plane: (H, W) to write to.
        to_x, to_y: added to, one number to a tap.
    """
    channels, height, width = image.shape
    below, lags = len(y_half) - 1, max((len(x_half) + 1) // 3, 1) * 3  # those that are added in threes
    taps = np.zeros(lags + 1, np.float32)
    for lag in range(len(x_half)):
        taps[lag] = x_half[lag]
    stride, margin = ((width + 2 * lags) // LINE + 1) * LINE, (2 * lags // LINE + 1) * LINE
    padded, seen = _zeros(margin + ROWS * stride), _zeros(margin + ROWS * stride + lags)
    sums = _zeros(ROWS * stride)
    forward = factors_of(y_half)
    backward, places = np.empty(forward.shape, np.float32), np.empty(forward.shape[1], np.int64)
    for c in range(channels):
        source, to = image[c], g[c]
        for row in range(0, height, ROWS):
            count = min(ROWS, height - row)
            for i in range(ROWS):
                line, at = to[min(row + i, height - 1)], padded[margin + i * stride :]
                scale = np.float32(1 if i < count else 0)
                for j in range(width):
                    at[j] = scale * line[j]
            across(padded[margin - 2 * lags :], taps, sums)
            for i in range(count):
                _fold(sums[i * stride :], lags, plane[row + i])
            if kernel_too:
                for k in range(len(places)):
                    places[k] = mirrored(min(row - below + k, row + count - 1 + below), height)
                down(source, places, forward, width, seen[margin : margin + ROWS * stride].reshape(ROWS, stride))
                for i in range(count):
                    edge = margin + i * stride
                    for j in range(1, len(x_half)):
                        seen[edge - j] = seen[edge + j]
                        seen[edge + width - 1 + j] = seen[edge + width - 1 - j]
                for lag in range(len(x_half)):
                    near, far = seen[margin - lag :], seen[margin + lag :]
                    to_x[lag] += _pairs(padded[margin:], near, far) * (0.5 if lag == 0 else 1.0)
        for row in range(0, height, ROWS):
            count = min(ROWS, height - row)
            for k in range(len(places)):
                o = row - below + k
                places[k] = min(max(o, 0), height - 1)
                for i in range(ROWS):
                    backward[i, k] = _weight(y_half, o, row + i, height) if 0 <= o < height else np.float32(0)
            down(plane, places, backward, width, sums.reshape(ROWS, stride))
            for i in range(count):
                line, out = sums[i * stride :], to[row + i]
                for j in range(width):
                    out[j] = line[j]
            if kernel_too:
                for i in range(count):
                    for lag in range(len(y_half)):
                        near, far = source[mirrored(row + i - lag, height)], source[mirrored(row + i + lag, height)]
                        to_y[lag] += _pairs(plane[row + i], near, far) * (0.5 if lag == 0 else 1.0)


@inner_kernel
def _zeros(count: Any) -> Array:
    made: Array = aligned(np.int64(1), count)[0]
    for j in range(len(made)):
        made[j] = np.float32(0)
    return made


@inner_kernel
def _pairs(weights: Array, near: Array, far: Array) -> float:
    total = np.float32(0)
    for j in range(len(weights)):
        total += weights[j] * (near[j] + far[j])
    return float(total)


@inner_kernel
def _fold(wide: Array, margin: int, line: Array) -> None:
    """What has run over a row's ends by `margin` numbers, back into it as borders are reflected."""
    last = len(line) - 1
    row = wide[margin:]
    for j in range(len(line)):
        line[j] = row[j]
    for j in range(1, margin + 1):
        line[j] += wide[margin - j]
        line[last - j] += wide[margin + last + j]


@inner_kernel
def _weight(half: Array, o: int, i: int, length: int) -> Any:
    """What pixel i weighs in the blurred pixel o, reflections included; 0 for pixels that there are not."""
    total = np.float32(0)
    if i < length:
        if abs(o - i) < len(half):
            total += half[abs(o - i)]
        if i >= 1 and o + i < len(half):
            total += half[o + i]
        if i <= length - 2 and 2 * (length - 1) - o - i < len(half):
            total += half[2 * (length - 1) - o - i]
    return total
