"""`describe`: what moves a feature moves it, what should not does not, and it is differentiable."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import degrade
from degrade.fit.describe import describe
from degrade.fit.features import features_of

NAMES = [feature.name for feature in features_of(3)]


@pytest.fixture(scope="module")
def photographs() -> tuple[Tensor, Tensor]:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 6), 256)
    return image, mask


def feature(found: Tensor, name: str) -> Tensor:
    return found[:, NAMES.index(name)]


def degraded(photographs: tuple[Tensor, Tensor], **settings: object) -> Tensor:
    recipe = degrade.recipe("cofe-net", **settings)
    return describe(recipe(photographs[0], degrade.make_keys(1, 6), photographs[1]), photographs[1])


@pytest.mark.parametrize(
    ("settings", "more", "less"),
    [
        ({"type": "001", "brightness": 0.5}, [], ["luma", "red", "green"]),
        ({"type": "001", "saturation": 0.2, "brightness": 1, "contrast": 1}, [], ["saturation"]),
        ({"type": "100", "blur_kernel": 3.0}, [], ["detail_2", "fall_2"]),
        ({"type": "100", "noise": 0.05, "blur_kernel": 0}, ["noise", "color_noise", "detail_2"], []),
        ({"type": "010", "spot_count": 40, "spot_radius": 0.05}, ["spots_small", "spot_height"], []),
        ({"type": "001", "halo_strength": 2.0, "hole_depth": 0.0}, ["rim", "rim_blue"], []),
    ],
)
def test_what_a_stage_does_is_seen(photographs, settings, more, less):
    before, after = describe(*photographs), degraded(photographs, **settings)
    for name in more:
        assert feature(after, name).mean() > feature(before, name).mean() + 0.3 * feature(before, name).std(), name
    for name in less:
        assert feature(after, name).mean() < feature(before, name).mean() - 0.3 * feature(before, name).std(), name


def test_a_veil_is_haze(photographs):
    image, mask = photographs
    veiled = describe(0.7 * image + 0.3, mask)
    assert torch.allclose(feature(veiled, "haze"), 0.7 * feature(describe(image, mask), "haze") + 0.3, atol=0.01)


def test_borders_change_nothing(photographs):
    image, mask = photographs
    wide, wide_mask = (functional.pad(part, (40, 16, 8, 60)) for part in (image, mask))
    assert torch.allclose(describe(wide, wide_mask), describe(image, mask), atol=1e-4)


def test_resolution_changes_only_the_finest_details():
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 6), 512)
    half = functional.avg_pool2d(image, 2), (functional.avg_pool2d(mask, 2) > 0.5).float()
    finest = ("detail_2", "fall_2", "fall_x", "noise", "color_noise")
    for name, large, small in zip(NAMES, describe(image, mask).T, describe(*half).T, strict=True):
        assert name in finest or (large - small).abs().mean() < 0.35 * large.std() + 0.02, name


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_images_have_finite_features_and_gradients(channels, value):
    image = torch.full((2, channels, 64, 64), value, requires_grad=True)
    found = describe(image, size=64)
    assert found.shape == (2, len(features_of(channels)))
    found.sum().backward()
    assert found.isfinite().all()
    assert image.grad is not None
    assert image.grad.isfinite().all()


def test_gradients_are_finite_differences(photographs):
    image, mask = photographs[0][:1].double(), photographs[1][:1].double()
    gain = torch.ones((), dtype=torch.float64, requires_grad=True)
    found = describe((0.8 * gain) * image, mask)
    step = 1e-5
    central = (describe(0.8 * (1 + step) * image, mask) - describe(0.8 * (1 - step) * image, mask))[0] / (2 * step)
    for at, name in enumerate(NAMES):
        (slope,) = torch.autograd.grad(found[0, at], gain, retain_graph=True)
        assert float(slope) == pytest.approx(float(central[at]), rel=0.02, abs=1e-3), name


def test_refusals():
    with pytest.raises(ValueError, match="channels = 2"):
        describe(torch.zeros(1, 2, 64, 64))
    with pytest.raises(ValueError, match="size = 100"):
        describe(torch.zeros(1, 3, 64, 64), size=100)
