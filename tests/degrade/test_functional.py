"""ops/: kernels, fields and colour against plain definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from scipy import stats
from torch.nn import functional

from degrade.ops import color as colour
from degrade.ops.blur import blur_padded, gaussian_blur, reach_of, taps
from degrade.ops.fields import blur_field, disk
from degrade.rng.keyed import make_keys, normals


@given(k=st.integers(0, 20).map(lambda n: 2 * n + 1), sigma=st.floats(0.5, 50))
def test_taps_at_the_reference_side_are_the_truncated_gaussian(k: int, sigma: float) -> None:
    weights = taps(torch.tensor(k / 512, dtype=torch.float64), torch.tensor(sigma / 512, dtype=torch.float64), 512, 25)
    expected = np.exp(-0.5 * (np.arange(26) / sigma) ** 2) * (np.arange(26) <= k // 2)
    assert np.allclose(weights, expected / (2 * expected.sum() - expected[0]), atol=1e-12)
    assert reach_of(k / 512, 512) == k // 2


@given(k=st.floats(1, 60), cells=st.integers(32, 2048))
def test_wide_kernels_have_the_scaled_variance(k: float, cells: int) -> None:
    """With a large sigma the kernel is a box: its variance must be t^2 (k^2 - 1) / 12 whatever the resolution."""
    size = torch.tensor(k / 512, dtype=torch.float64)
    reach = reach_of(k / 512, cells)
    weights = taps(size, torch.tensor(1e3, dtype=torch.float64), cells, reach)
    lag = torch.arange(reach + 1)
    variance = 2 * float((weights * lag**2).sum())
    assert variance == pytest.approx((cells / 512) ** 2 * (k * k - 1) / 12, rel=1e-5, abs=1e-9)
    assert float(2 * weights.sum() - weights[0]) == pytest.approx(1)


def test_taps_beyond_the_kernel_change_no_bit() -> None:
    size, sigma = torch.rand(50) * 0.05, torch.rand(50) * 0.05 + 0.001
    short = taps(size, sigma, 512, 14)
    assert torch.equal(taps(size, sigma, 512, 40)[:, :15], short)


def test_blur_equals_a_convolution() -> None:
    image = torch.rand(2, 3, 40, 50, dtype=torch.float64)
    size = torch.tensor([[5 / 512, 9 / 512], [1 / 512, 7 / 512]], dtype=torch.float64) * (512 / 40)
    sigma = torch.tensor([0.1, 0.2], dtype=torch.float64)
    got = gaussian_blur(image, size, sigma)
    for i in range(2):
        reach = [reach_of(float(size[i, axis]), 40) for axis in (0, 1)]
        x, y = (taps(size[i, axis], sigma[i], 40, reach[axis]) for axis in (0, 1))
        x, y = (torch.cat([half[1:].flip(0), half]) for half in (x, y))
        padded = functional.pad(image[i : i + 1], (reach[0], reach[0], reach[1], reach[1]), mode="reflect")
        kernel = (y[:, None] * x).expand(3, 1, -1, -1)
        assert torch.allclose(got[i : i + 1], functional.conv2d(padded, kernel, groups=3))


def test_blur_has_first_and_second_derivatives_in_image_and_taps() -> None:
    shapes = (2, 3, 9, 8), (2, 2), (2, 3)
    inputs = [torch.rand(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(blur_padded, inputs)
    assert torch.autograd.gradgradcheck(blur_padded, inputs)
    image, x_taps, y_taps = (value.detach() for value in inputs)
    only_image = image.clone().requires_grad_()
    blur_padded(only_image, x_taps, y_taps).sum().backward()
    first = torch.autograd.grad(blur_padded(*inputs).sum(), inputs[0])[0]
    assert only_image.grad is not None
    assert torch.allclose(only_image.grad, first)


@settings(max_examples=30, deadline=None)
@given(
    height=st.integers(32, 80),
    width=st.integers(32, 80),
    center=st.tuples(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2)),
    radius=st.floats(0, 0.9),
    kernel=st.tuples(st.floats(0, 2), st.floats(0, 2)),
)
def test_a_blurred_field_is_the_convolved_disk(
    height: int, width: int, center: tuple[float, float], radius: float, kernel: tuple[float, float]
) -> None:
    at, r, k = (torch.tensor([value], dtype=torch.float64) for value in (center, radius, kernel))
    sigma, side = 0.3 + 0 * r, min(height, width)
    field = disk(at, r, (height, width))
    expected = field
    for axis, size in ((1, k[:, 1]), (2, k[:, 0])):
        reach = min(reach_of(float(size), side), side - 1)
        half = taps(size, sigma, side, reach)[0]
        padded = np.pad(expected.numpy(), [(0, 0) if n != axis else (reach, reach) for n in range(3)], mode="reflect")
        shifted = torch.from_numpy(padded).unfold(axis, 2 * reach + 1, 1)
        expected = shifted @ torch.cat([half[1:].flip(0), half])
    if max(reach_of(float(size), side) for size in k[0]) < side:
        assert torch.allclose(blur_field(field, k, sigma), expected, atol=1e-9)


@pytest.mark.parametrize("factor", [0.5, 0.87, 1.0, 1.13, 1.5])
@pytest.mark.parametrize("name", ["Brightness", "Contrast", "Color"])
def test_eight_bit_colour_is_pillows_to_the_bit(name: str, factor: float) -> None:
    levels = np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8)
    expected = np.asarray(getattr(ImageEnhance, name)(Image.fromarray(levels)).enhance(factor))
    image = torch.from_numpy(levels).permute(2, 0, 1)[None].float() / 255
    function = {"Brightness": colour.brightness, "Contrast": colour.contrast, "Color": colour.saturation}[name]
    got = function(image, torch.tensor([factor]), True)[0].permute(1, 2, 0) * 255
    assert np.array_equal(got.round().numpy(), expected)


def test_normals_are_normal_and_a_wrong_spread_is_seen() -> None:
    z = normals(make_keys(0, 4), "pixel", (3, 64, 64)).flatten().double().numpy()
    deviations = 4  # standard errors: one false alarm in sixteen thousand
    assert stats.kstest(z, "norm").pvalue > 1e-3  # one in a thousand
    assert abs(z.mean()) < deviations / len(z) ** 0.5
    assert abs(z.std() - 1) < deviations / (2 * len(z)) ** 0.5
    assert abs(1.02 * z.std() - 1) > deviations / (2 * len(z)) ** 0.5
    assert stats.kstest(z + 0.02, "norm").pvalue < 1e-3
