"""The reference against the outputs of the authors' released code, where a machine has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import reference

GOLDEN = Path(__file__).parents[3] / "shared" / "golden" / "cofe_net_release"
CASES = sorted(path.stem for path in GOLDEN.glob("*_s*.json"))
LEVEL = 1 / 255

needs_golden = pytest.mark.skipif(not CASES, reason=f"no golden outputs at {GOLDEN}")


@pytest.fixture(scope="module", params=CASES)
def case(request):
    described = json.loads((GOLDEN / f"{request.param}.json").read_text())
    with np.load(GOLDEN / f"{request.param}_stages.npz") as stored:
        stages = {name: stored[name] / 65535.0 for name in stored.files}
    return described, stages


def agree(actual, expected, levels=0.05):
    assert actual.shape == expected.shape
    assert np.abs(actual - expected).max() <= levels * LEVEL


@needs_golden
def test_colour(case):
    # the release computes this on 8-bit values and truncates after each step: up to 3.4 levels darker
    described, stages = case
    clean = np.asarray(Image.open(GOLDEN / described["image"]).convert("RGB"), np.float64) / 255
    factors = described["params"]["illumination"]["color"]
    ours = reference.colour(
        clean.transpose(2, 0, 1),
        factors["brightness_factor"],
        factors["contrast_factor"],
        factors["saturation_factor"],
    )
    agree(ours, stages["color"], levels=3.5)


@needs_golden
def test_halo(case):
    described, stages = case
    p = described["params"]["illumination"]["halo"]
    assert p["center_a"] == p["center_b"]
    ours = reference.halo(stages["color"], p["num"], p["center_a"], p["dia_a"], p["dia_b"])
    agree(ours, stages["halo"])


@needs_golden
def test_hole(case):
    described, stages = case
    p = described["params"]["illumination"]["hole"]
    ours = reference.hole(
        stages["halo"],
        p["center"],
        p["diameter_circle"],
        p["brightness_factor"],
        p["rad_w"],
        p["rad_h"],
        p["sigma"],
    )
    agree(ours, stages["hole"])


@needs_golden
def test_spots(case):
    described, stages = case
    agree(reference.spots(stages["hole"], described["params"]["spots"]), stages["spots"])


@needs_golden
def test_blur(case):
    described, stages = case
    p = described["params"]["blur"]
    agree(reference.blur(stages["spots"], p["rad_w"], p["rad_h"], p["sigma"]), stages["blur"])


def pattern(height=24, width=17):
    return np.random.default_rng(5).random((3, height, width))


@pytest.mark.parametrize(("kw", "kh"), [(1, 1), (5, 3), (3, 31)])
def test_gaussian_is_the_padded_sum(kw, kh):
    x = pattern()
    padded = np.pad(x, ((0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2)), mode="reflect")
    expected = np.zeros_like(x)
    for i, v in enumerate(reference.taps(kh, 7.0)):
        for j, w in enumerate(reference.taps(kw, 7.0)):
            expected += v * w * padded[:, i : i + x.shape[1], j : j + x.shape[2]]
    np.testing.assert_allclose(reference.gaussian(x, kw, kh, 7.0), expected, atol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 9])
def test_band_keeps_constants_however_wide_the_kernel(n):
    np.testing.assert_allclose(reference.band(n, 61, 25.0).sum(axis=1), 1.0)


@pytest.mark.parametrize("radius", [0, 1, 2, 7, 31, 120])
def test_disk_is_opencvs_filled_circle(radius):
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    drawn = cv2.circle(np.zeros((300, 280)), (130, 155), radius, 1.0, -1)
    np.testing.assert_array_equal(reference.disk(300, 280, (130, 155), radius), drawn)


@pytest.mark.parametrize("size", [1, 5, 7, 201])
def test_gaussian_is_opencvs(size):
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    x = np.random.default_rng(1).random((120, 150))
    expected = cv2.GaussianBlur(x, (size, odd_height := max(1, size - 2)), 9.5, borderType=cv2.BORDER_REFLECT_101)
    np.testing.assert_allclose(reference.gaussian(x, size, odd_height, 9.5), expected, atol=1e-12)


def test_colour_of_ones_is_the_identity():
    np.testing.assert_allclose(reference.colour(pattern(), 1.0, 1.0, 1.0), pattern(), atol=1e-15)


def test_cataract_without_blur_or_colour_is_the_veil_alone():
    x = pattern()
    mask = reference.disk(24, 17, (8, 12), 7)
    ours = reference.cataract(x, mask, 1, 20, (5, 9), 0.7, 1.0, 1.0, 1.0)
    brightest = x.max(axis=(1, 2), keepdims=True)
    expected = np.clip(0.8 * x + 0.7 * reference.veil(mask, (5, 9)) * (brightest - x), 0, 1) * mask
    np.testing.assert_allclose(ours, expected, atol=1e-15)


def test_veil_is_smoothed_as_by_opencv():
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    y, x = np.mgrid[:24, :17].astype(np.float64)
    field = cv2.GaussianBlur(np.hypot(x - 5, y - 9), (5, 5), 1.1)
    np.testing.assert_allclose(reference.veil(np.ones((24, 17)), (5, 9)), field / field.max(), atol=1e-12)
