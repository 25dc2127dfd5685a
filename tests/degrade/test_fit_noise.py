"""Noise calibration: planted eta and sigma come back, with intervals that hold them, or there is a reason why not."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

import degrade
from degrade.fit.clipping import Ends, clipped_moments
from degrade.fit.grey import comb
from degrade.fit.noise import NoiseFit, from_frames, from_images, to_recipe
from degrade.images import image_io

SIDE = 512


def scene(side: int = SIDE, low: float = 20, high: float = 230) -> np.ndarray:
    """Smooth shades from `low` to `high`, with edges, fine stripes and a lattice in parts of it."""
    down, across = np.mgrid[:side, :side] / side
    shade = 0.5 + 0.35 * np.sin(5 * across + 2 * down) + 0.15 * np.cos(7 * down)
    grey = low + (high - low) * (shade - shade.min()) / (shade.max() - shade.min())
    grey[(down - 0.3) ** 2 + (across - 0.6) ** 2 < 0.02] *= 0.7
    stripes = (down > 0.75) & (across > 0.5)
    return np.where(stripes, grey + 15 * np.sin(2 * np.pi * across * side / 5), grey).clip(low, high)


def noisy(grey: np.ndarray, eta: float, sigma: float, seed: int = 0, bits: int | None = 8) -> Tensor:
    """(1, H, W): clipped and rounded to `bits`, or float and not clipped where `bits` is None."""
    generator = np.random.default_rng(seed)
    seen = generator.poisson(eta * grey) / eta + sigma * generator.standard_normal(grey.shape)
    if bits is None:
        return torch.from_numpy(seen / 255)[None]
    return image_io.to_integer(torch.from_numpy((seen / 255).clip(0, 1))[None], bits)


def stretched(image: Tensor, gain: float, offset: float = 0) -> Tensor:
    return ((image.double() - offset) * gain).round().clamp(0, 255).to(torch.uint8)


def holds(fit: NoiseFit, eta: float, sigma: float) -> tuple[bool, bool]:
    """Whether the intervals hold the truth."""
    (low, high), (least, most) = fit.eta_interval, fit.sigma_interval
    return low <= eta <= high, least <= sigma <= most


def reasons(fit: NoiseFit) -> str:
    """Why there is no number; fails if there is one."""
    assert not fit.reliable
    assert all(map(math.isnan, (fit.eta, fit.sigma, *fit.eta_interval, *fit.sigma_interval)))
    with pytest.raises(ValueError, match="no numbers"):
        to_recipe(fit)
    return "; ".join(fit.warnings)


PLANTED = [(0.4, 5.0), (0.4, 20.0), (0.8, 0.0), (1.2, 10.0), (1.9, 2.0), (1.9, 15.0)]


@pytest.mark.parametrize(("eta", "sigma"), PLANTED)
@pytest.mark.parametrize("bits", [8, 16, None])
def test_one_image(eta, sigma, bits):
    fit = from_images(noisy(scene(), eta, sigma, bits=bits)[None])
    assert fit.reliable, fit.warnings
    assert fit.eta == pytest.approx(eta, rel=0.1)
    assert fit.sigma == pytest.approx(sigma, rel=0.1, abs=1.5)
    assert fit.eta_interval[0] < fit.eta < fit.eta_interval[1]
    assert fit.sigma_interval[0] <= fit.sigma < fit.sigma_interval[1]
    assert from_images(noisy(scene(), eta, sigma, bits=bits)[None]).eta == fit.eta


@pytest.mark.parametrize(("eta", "sigma"), PLANTED)
@pytest.mark.parametrize("bits", [8, None])
@pytest.mark.parametrize("count", [2, 5])
def test_frames(eta, sigma, bits, count):
    fit = from_frames(torch.stack([noisy(scene(), eta, sigma, seed, bits) for seed in range(count)]))
    assert fit.reliable, fit.warnings
    assert fit.eta == pytest.approx(eta, rel=0.02 if sigma < 12 else 0.06)
    assert fit.sigma == pytest.approx(sigma, rel=0.05, abs=0.6)  # 0.3 in the median: see the X-rays


def test_intervals_hold_the_truth_and_no_other_number():
    """Coverage over 20 draws, blind and with frames; the twin, an eta 30 % off, is in none of the intervals."""
    eta, sigma, grey = 0.9, 6.0, scene(384)
    images = [noisy(grey, eta, sigma, seed) for seed in range(21)]
    for fits in (
        [from_images([image]) for image in images[:20]],
        [from_frames(torch.stack(pair)) for pair in pairwise(images)],
    ):
        found = np.array([holds(fit, eta, sigma) for fit in fits])
        assert (found.mean(axis=0) >= 0.85).all()
        assert not any(holds(fit, eta * wrong, sigma)[0] for fit in fits for wrong in (0.7, 1.3))
        assert not any(holds(fit, eta, sigma * wrong)[1] for fit in fits for wrong in (0.6, 1.4))
        wrong_noise = from_images([noisy(grey, 1.3 * eta, sigma)])
        assert not holds(wrong_noise, eta, sigma)[0]


def test_several_images_are_pooled_and_narrow_the_interval():
    views = [noisy(np.rot90(scene(256), turns), 0.7, 8, turns) for turns in range(4)]
    one, four = from_images(views[:1]), from_images(iter(views))
    assert four.bins.count.sum() > 3 * one.bins.count.sum()
    assert np.diff(four.eta_interval) < 0.8 * np.diff(one.eta_interval)
    assert holds(four, 0.7, 8) == (True, True)


def test_clipping_at_both_ends_does_not_bias():
    grey = scene(SIDE, -40, 300).clip(0, 255)
    eta, sigma = 0.6, 14.0
    for fit in (
        from_images([noisy(grey, eta, sigma, 1)]),
        from_frames(torch.stack([noisy(grey, eta, sigma, seed) for seed in (1, 2)])),
    ):
        assert fit.reliable, fit.warnings
        assert not fit.bins.used.all()
        assert fit.eta == pytest.approx(eta, rel=0.06)
        assert fit.sigma == pytest.approx(sigma, rel=0.06)


def test_saturation_below_white():
    fit = from_images([noisy(scene(high=250), 0.8, 8).clamp(max=200)])
    assert fit.eta == pytest.approx(0.8, rel=0.08)
    assert fit.sigma == pytest.approx(8, rel=0.08)


@pytest.mark.parametrize("levels", [1.0, 4095.0])
def test_levels_are_a_change_of_unit(levels):
    image = noisy(scene(), 0.8, 8)[None]
    plain, other = from_images(image), from_images(image, levels=levels)
    assert other.eta * levels == pytest.approx(plain.eta * 255, rel=1e-4)
    assert other.sigma / levels == pytest.approx(plain.sigma / 255, rel=1e-4)
    assert other.levels == levels


@pytest.mark.parametrize("gain", [0.75, 0.9, 1.03, 1.2, 1.5, 2.0, 3.0])
def test_stretching_in_8_bits_is_noticed(gain):
    grey = scene(low=15, high=min(230, 250 / gain))
    images = [stretched(noisy(grey, 1.3, 4, seed), gain) for seed in (0, 1)]
    assert "comb" in reasons(from_images(images[:1]))
    assert "comb" in reasons(from_frames(torch.stack(images)))


def test_stretching_from_8_bits_into_more_is_noticed():
    image = noisy(scene(), 1.3, 6).double() / 255 * 0.83
    assert "few different values" in reasons(from_images([image]))


def test_a_comb_under_the_noise_is_none_of_ours():
    """As in NIH's X-rays: stretched in 8 bits first, photographed with noise afterwards."""
    grey = stretched(torch.from_numpy(scene(high=150)).round(), 1.5).numpy()
    assert comb(np.bincount(grey.ravel(), minlength=256).astype(float), np.full(256, 5.0))[0] > 20
    assert from_images([noisy(grey.astype(float), 1.9, 1)]).reliable


@pytest.mark.parametrize("eta", [0.4, 0.7, 1.0, 1.9])
@pytest.mark.parametrize("bits", [8, None])
def test_the_comb_of_whole_photons_is_allowed(eta, bits):
    fit = from_images([noisy(scene(), eta, 0, bits=bits)])
    assert fit.eta == pytest.approx(eta, rel=0.05)


@pytest.mark.parametrize(
    ("image", "why"),
    [
        (torch.full((1, 256, 256), 0.5), "no noise"),
        (torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(0)), "too few smooth patches"),
        (noisy(np.full((256, 256), 120.0), 0.8, 5), "hardly differ"),
        (noisy(scene(low=115, high=122), 0.8, 5), "hardly differ"),
        (noisy(scene(), 1000, 0), "smoothed|rounding|detail"),
        (255 - noisy(scene(), 0.8, 5), "inverted"),
        (noisy(3 * scene() + 100, 0.8, 5), "clipped"),
        (noisy(scene(96), 0.8, 5), "too few"),
        (torch.nn.functional.avg_pool2d(noisy(scene(), 0.8, 5).float() / 255, 3, 1), "not white"),
    ],
    ids=["constant", "tiny", "grey", "narrow", "clean", "inverted", "saturated", "small", "smoothed"],
)
def test_no_number(image, why):
    text = reasons(from_images([image]))
    assert any(word in text for word in why.split("|")), text


def test_no_number_after_a_gamma():
    seen = noisy(scene(), 0.8, 5, bits=None).clamp(0, 1)
    assert reasons(from_images([image_io.to_integer(seen**0.5)]))


def test_frames_that_are_not_of_one_scene():
    a, b = noisy(scene(), 0.8, 5, 0), noisy(scene(), 0.8, 5, 1)
    darker = noisy(0.95 * scene(), 0.8, 5, 2)
    assert "exposure changed" in reasons(from_frames(torch.stack([a, darker])))
    assert "moved" in reasons(from_frames(torch.stack([a, b.roll(2, 2)])))
    assert "identical" in reasons(from_frames(torch.stack([a, a])))
    flat = [noisy(np.full((256, 256), 120.0), 0.8, 5, seed) for seed in (0, 1)]
    assert "not determined" in reasons(from_frames(torch.stack(flat)))
    assert "too small" in reasons(from_frames(torch.rand(2, 1, 4, 4)))


def test_arguments():
    image = noisy(scene(64), 1, 5)
    for wrong in (torch.zeros(1, 1, 8, 8), torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8), torch.zeros(2, 1, 2, 8)):
        with pytest.raises(ValueError, match="frames must be"):
            from_frames(wrong)
    for images, message in (
        ([], "at least one"),
        ([torch.full((1, 8, 8), math.nan)], "finite"),
        ([torch.rand(3, 8, 8)], "grey"),
        ([torch.rand(2, 8, 8)], "must be"),
    ):
        with pytest.raises(ValueError, match=message):
            from_images(images)
    with pytest.raises(ValueError, match="levels"):
        from_images([image], levels=0)
    with pytest.raises(TypeError):
        from_images([image.int()])
    kept = image.clone()
    from_images([image])
    assert torch.equal(image, kept)


def test_three_equal_channels_are_grey():
    image = noisy(scene(), 0.8, 5)
    assert from_images([image.expand(3, -1, -1)]).eta == from_images([image[0]]).eta


def test_clipped_moments_are_those_of_samples():
    generator = np.random.default_rng(0)
    grey = np.array([0.0, 3.0, 20.0, 235.0, 255.0])
    for eta, sigma in ((0.4, 0.0), (0.4, 15.0), (1.9, 5.0), (50.0, 4.0)):
        seen = generator.poisson(eta * grey, (400_000, 5)) / eta + sigma * generator.standard_normal((400_000, 5))
        cut = seen.clip(0, 255)
        mean, variance, _ = clipped_moments(grey, eta, sigma, Ends(0.0, 255.0))
        assert mean == pytest.approx(cut.mean(axis=0), abs=6 * 30 / 632)
        assert variance == pytest.approx(cut.var(axis=0), rel=0.02, abs=1e-3)
        mean, variance, share = clipped_moments(grey, eta, sigma, Ends())
        assert mean == pytest.approx(grey, abs=1e-6)
        assert variance == pytest.approx(grey / eta + sigma**2, rel=1e-6, abs=1e-6)
        assert share.max() == 0


@pytest.mark.parametrize("interval", [False, True])
def test_the_recipe_degrades_alike(interval):
    if "x-bdcnn" not in degrade.RECIPES:
        pytest.skip("needs the recipe x-bdcnn")
    fit = from_images([noisy(scene(), 0.8, 8)])
    recipe = degrade.recipe(to_recipe(fit, interval))
    expected = fit.eta_interval if interval else fit.eta
    assert recipe.settings["eta"] == pytest.approx(expected, rel=1e-3)
    clean = torch.from_numpy(scene() / 255)[None, None].float()
    degraded = recipe(clean, degrade.make_keys(0, 1))
    again = from_images(image_io.to_integer(degraded))
    assert again.eta == pytest.approx(fit.eta, rel=0.1)
    assert again.sigma == pytest.approx(fit.sigma, rel=0.1)


@pytest.mark.slow
def test_planted_noise_in_real_x_rays(data):
    """24 X-rays with eta and sigma over the paper's ranges, half of them clipped and rounded to 8 bits."""
    files = sorted((data / "xray").glob("*.png"))
    keys = degrade.make_keys(3, 24)
    drawn = degrade.rng.keyed.uniforms(keys, {"file": 1, "eta": 1, "sigma": 1})
    errors, covered = [], []
    for number, (u, v, w) in enumerate(torch.cat(list(drawn.values()), dim=1).tolist()):
        grey = image_io.read(files[int(u * len(files))])[0].numpy().astype(float)
        eta, sigma = 0.4 + 1.5 * v, 20 * w
        bits = 8 if number % 2 else None
        blind = from_images([noisy(grey, eta, sigma, number, bits)])
        pair = from_frames(torch.stack([noisy(grey, eta, sigma, 100 * number + i, bits) for i in (1, 2)]))
        for fit in (blind, pair):
            assert fit.reliable, (eta, sigma, fit.warnings)
        errors.append(
            [
                *(abs(fit.eta / eta - 1) for fit in (blind, pair)),
                abs(blind.sigma - sigma) / max(1.5, 0.1 * sigma),
                abs(pair.sigma - sigma) / max(0.3, 0.05 * sigma),
            ]
        )
        covered.append([*holds(blind, eta, sigma), *holds(pair, eta, sigma)])
        assert not any(holds(blind, wrong * eta, sigma)[0] for wrong in (0.7, 1.3)), (eta, sigma)
    blind_eta, pair_eta, blind_sigma, pair_sigma = np.median(errors, axis=0)
    assert blind_eta < 0.1
    assert pair_eta < 0.02
    assert blind_sigma < 1
    assert pair_sigma < 1
    assert (np.mean(covered, axis=0) >= 0.85).all(), np.mean(covered, axis=0)


def test_real_x_rays_stretched_after_the_noise_are_refused(data):
    files = sorted((data / "xray").glob("*.png"))[::30]
    for number, file in enumerate(files):
        grey = image_io.read(file)[0].numpy().astype(float)
        image = stretched(noisy(grey, 0.9, 6, number), (0.8, 1.1, 1.3, 2.0)[number % 4], 10)
        assert not from_images([image]).reliable
        assert not from_images([torch.from_numpy(grey / 255)[None]]).reliable  # as it is: nearly without noise
