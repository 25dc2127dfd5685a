"""The blur's loop over rows against NumPy: any number of taps and rows, in bands, in place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

pytest.importorskip("numba")

from degrade.ops.blur_cpu import blur, window_for

sides = st.integers(32, 45)
taps = st.integers(1, 14)


def half(count: int) -> NDArray[np.float32]:
    weights = np.exp(-0.5 * (np.arange(count) / 3) ** 2)
    return (weights / (2 * weights.sum() - 1)).astype(np.float32)


def expected(image: NDArray[np.float32], x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float64]:
    result = image.astype(np.float64)
    for axis, weights in ((1, y), (2, x)):
        reach = len(weights) - 1
        padding = [(0, 0)] * 3
        padding[axis] = (reach, reach)
        padded, length = np.pad(result, padding, mode="reflect"), image.shape[axis]
        shifted = [padded.take(range(shift, shift + length), axis) for shift in range(2 * reach + 1)]
        result = sum((weights[abs(shift - reach)] * part for shift, part in enumerate(shifted)), np.zeros_like(result))
    return result


@settings(deadline=None)  # the first call compiles
@given(height=sides, width=sides, x=taps, y=taps, band=st.integers(1, 50), in_place=st.booleans(), seed=st.integers(0))
def test_as_numpy_has_it(height: int, width: int, x: int, y: int, band: int, in_place: bool, seed: int) -> None:
    generator = np.random.default_rng(seed)
    image = generator.random((2, height, width), dtype=np.float32)
    mask = (generator.random((height, width)) > 0.3).astype(np.float32)
    wanted = expected(image, half(x), half(y)) * mask
    out = image if in_place else np.full_like(image, np.nan)
    window = window_for(2, width, half(y))
    window[:] = np.nan  # what has not been written must not be read
    for begin in range(0, height, band):
        blur(image, half(x), half(y), mask, out, begin, min(begin + band, height), window, 0, 0)
    np.testing.assert_allclose(out, wanted, atol=2e-6)
