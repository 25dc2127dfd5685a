"""PoissonGaussian: published PSNRs, keys, layouts, gradients, learning, detector units, maps, errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

import degrade
from degrade import make_keys
from degrade.models.xray import PoissonGaussian, from_detector, noise_level_maps, standard_deviation_map, to_detector
from degrade.testing import check_keyed, strategies

TABLE_2 = {
    (0.4, 5.0): 22.5162, (0.6, 5.0): 24.0733, (0.8, 5.0): 25.1555,
    (0.4, 10.0): 21.7703, (0.6, 10.0): 23.0213, (0.8, 10.0): 23.8439,
    (0.4, 15.0): 20.7651, (0.6, 15.0): 21.7165, (0.8, 15.0): 22.2952,
}  # fmt: skip


def fixed(keys: Tensor, eta: float, sigma: float) -> dict[str, Tensor]:
    ones = torch.ones(len(keys))
    return {"eta": eta * ones, "sigma": sigma * ones, "noise_key": keys}


@pytest.mark.slow
def test_the_published_psnrs(data: Path) -> None:
    """Table II of X-BDCNN on the ten X-rays with mean grey nearest 141, in 8 bits: within 0.2 dB."""
    files = sorted((data / "xray").glob("*.png"))
    pictures = [np.asarray(Image.open(file).convert("L")) for file in files]
    pictures = sorted(pictures, key=lambda p: abs(p.mean() - 141))[:10]
    for (eta, sigma), published in TABLE_2.items():
        errors = []
        for number, picture in enumerate(pictures):
            image = torch.from_numpy(picture.copy())[None, None].float() / 255
            noisy = PoissonGaussian(eta=eta, sigma=sigma)(image, make_keys(number, 1))
            errors.append(float(((noisy * 255).round() - image * 255).square().mean()))
        psnr = np.mean([10 * math.log10(255**2 / error) for error in errors])
        assert abs(psnr - published) < 0.2


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_moments_of_the_model(backend: str) -> None:
    """Mean and variance against g and g / eta + sigma^2, within five standard errors."""
    x = torch.full((4, 3, 128, 128), 0.4)
    with degrade.backend(backend):
        noisy = PoissonGaussian(eta=0.5, sigma=7, clip=False)(x, make_keys(1, 4)).double() * 255
    g, n = 0.4 * 255, x.numel()
    variance = g / 0.5 + 49
    assert abs(noisy.mean() - g) < 5 * math.sqrt(variance / n)
    assert abs(noisy.var() / variance - 1) < 5 * math.sqrt(2.1 / n)


def test_black_without_electronics_stays_black() -> None:
    assert not PoissonGaussian(sigma=0)(torch.zeros(1, 1, 32, 32), make_keys(0, 1)).any()


def test_many_photons_change_little() -> None:
    x = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    noisy = PoissonGaussian(eta=3900, sigma=0)(x, make_keys(0, 1))
    assert float((noisy - x).abs().max()) < 6 / math.sqrt(3900 * 255)


def test_parameters_are_drawn_from_their_ranges() -> None:
    drawn = PoissonGaussian().draw(make_keys(0, 2000), 64, 64)
    assert set(drawn) == {"eta", "sigma", "noise_key"}
    for name, low, high in (("eta", 0.4, 1.9), ("sigma", 0, 20)):
        value = drawn[name]
        assert low <= value.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < value.max() <= high


@pytest.mark.parametrize("channels", [1, 3])
def test_a_function_of_image_and_key(channels: int) -> None:
    assert all(check_keyed(PoissonGaussian(), channels=channels))
    assert all(check_keyed(PoissonGaussian(), channels=channels, size=(33, 35)))
    assert all(check_keyed(PoissonGaussian(), channels=channels, size=(301, 257)))


@pytest.mark.parametrize("size", [(33, 35), (300, 300)])
def test_gradients_do_not_change_the_numbers(size: tuple[int, int]) -> None:
    """The same bits with and without a graph, alone and in a batch; loops have the definition's counts."""
    image, keys = torch.rand(3, 1, *size), make_keys(0, 3)
    d = PoissonGaussian()
    results = []
    for backend in ("reference", "cpu"):
        with degrade.backend(backend):
            noisy, parameters = d.sample(image, keys)
            one = {name: value[1:2] for name, value in parameters.items()}
            assert torch.equal(d.apply(image.clone().requires_grad_(), parameters), noisy)
            assert torch.equal(d.apply(image[1:2].clone().requires_grad_(), one), noisy[1:2])
        results.append(noisy)
    assert int(((results[0] - results[1]).abs() > 1e-5).sum()) <= 5


@settings(max_examples=40, deadline=None)
@given(image=strategies.images(), data=st.data(), clip=st.booleans())
def test_any_image(image: Tensor, data: st.DataObject, clip: bool) -> None:
    """Any type and layout gives what a plain float32 copy gives; clipped results lie in [0, 1]."""
    d = PoissonGaussian(clip=clip)
    parameters = data.draw(strategies.noise_parameters(len(image)))
    noisy = d.apply(image, parameters)
    assert (noisy.shape, noisy.dtype) == (image.shape, image.dtype)
    assert torch.isfinite(noisy).all()
    if clip:
        assert noisy.min() >= 0
        assert noisy.max() <= 1
    plain = image.to(torch.float64 if image.dtype == torch.float64 else torch.float32).contiguous()
    assert torch.equal(d.apply(plain, parameters).to(image.dtype), noisy)


def test_an_empty_batch() -> None:
    assert PoissonGaussian()(torch.zeros(0, 1, 32, 32), make_keys(0, 0)).shape == (0, 1, 32, 32)


# gradients


def _moments(loss: Callable[[Tensor], Tensor], x: float, eta: float, sigma: float) -> float:
    """E loss(f) exactly: the sum over counts, and Gauss-Hermite quadrature over the Gaussian part."""
    rate = eta * 255 * x
    k = torch.arange(int(rate + 12 * math.sqrt(rate) + 30), dtype=torch.float64)
    weight = (k * math.log(rate) - rate - torch.lgamma(k + 1)).exp()
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    f = k[:, None] / (eta * 255) + torch.from_numpy(nodes) * sigma / 255
    return float((weight[:, None] * torch.from_numpy(weights / weights.sum()) * loss(f)).sum())


LOSSES: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": lambda f: f,
    "second moment": lambda f: f.square(),
    "Charbonnier": lambda f: ((f - 0.3).square() + 0.04).sqrt(),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(("eta", "sigma"), [(0.4, 15.0), (1.9, 5.0)])
def test_gradients_through_the_model(name: str, eta: float, sigma: float) -> None:
    """Against finite differences of the exact expectation: within 1 %, plus four standard errors under 1 %."""
    loss, x = LOSSES[name], 0.45
    d = PoissonGaussian(clip=False)
    batch, side = 24, 256
    image = torch.full((batch, 1, 1, 1), x, dtype=torch.float64, requires_grad=True)
    given_eta, given_sigma = (torch.full((batch,), v, dtype=torch.float64, requires_grad=True) for v in (eta, sigma))
    parameters = {"eta": given_eta, "sigma": given_sigma, "noise_key": make_keys(0, batch)}
    value = loss(d.apply(image.expand(-1, -1, side, side), parameters)).mean(dim=(1, 2, 3)).sum()
    gradients = torch.autograd.grad(value, (image, given_eta, given_sigma))
    scale = abs(_moments(loss, x * 1.01, eta, sigma) - _moments(loss, x * 0.99, eta, sigma)) / 0.02
    for gradient, at, argument in zip(gradients, (x, eta, sigma), range(3), strict=True):
        h = 1e-4 * at
        ends = [[x, eta, sigma] for _ in range(2)]
        ends[0][argument] -= h
        ends[1][argument] += h
        exact = (_moments(loss, *ends[1]) - _moments(loss, *ends[0])) / (2 * h)
        each = gradient.flatten()
        error = float(each.std()) / math.sqrt(batch)
        # of the derivative; where that is 0 by symmetry (the mean in eta and sigma), of the loss per relative change
        allowed = 0.01 * max(abs(exact), 0.05 * scale / at) + 4 * error
        assert abs(float(each.mean()) - exact) < allowed
        assert error < 0.01 * max(abs(exact), 0.05 * scale / at)


def test_eta_and_sigma_are_learned_by_gradient_descent() -> None:
    """From 48 noisy frames of a known ramp: matching the variance at each grey finds both to 5 %."""
    ramp = torch.linspace(0.02, 0.98, 64).repeat_interleave(4)[None, None, None, :].expand(8, 1, 64, -1)
    d = PoissonGaussian(clip=False)
    seen = d.apply(ramp.repeat(6, 1, 1, 1), fixed(make_keys(1, 48), 0.7, 9.0)).view(-1, 1, 384, 256)

    def variances(noisy: Tensor) -> Tensor:
        return ((noisy - ramp[:1, :, :1]) * 255).square().mean(dim=(0, 1, 2)).view(16, -1).mean(dim=1)

    target = variances(seen)
    log_eta, log_sigma = torch.tensor(0.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    optimiser = torch.optim.Adam([log_eta, log_sigma], lr=0.1)
    for step in range(100):
        for group in optimiser.param_groups:
            group["lr"] = 0.1 * 0.96**step
        eta, sigma = (value.exp().expand(8) for value in (log_eta, log_sigma))
        made = d.apply(ramp, {"eta": eta, "sigma": sigma, "noise_key": make_keys(2, 8, epoch=step)})
        loss = (variances(made) / target - 1).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert abs(float(log_eta.exp().detach()) / 0.7 - 1) < 0.05
    assert abs(float(log_sigma.exp().detach()) / 9.0 - 1) < 0.05


# units and maps


@given(eta=st.floats(1e-3, 1e3), sigma=st.floats(0, 100), levels=st.floats(1, 65535))
def test_detector_units_both_ways(eta: float, sigma: float, levels: float) -> None:
    photons, electronic = to_detector(eta, sigma, levels)
    assert np.allclose(from_detector(photons, electronic, levels), (eta, sigma), rtol=1e-12)
    x = 0.3  # one and the same variance, in photons: of the count, and of the electronics
    assert math.isclose(photons * x + electronic**2, eta**2 * (levels * x / eta + sigma**2), rel_tol=1e-9)


def test_noise_level_maps() -> None:
    parameters = fixed(make_keys(0, 2), 0.4, 5.0)
    maps = noise_level_maps(parameters, 40, 50)
    assert maps.shape == (2, 2, 40, 50)
    assert torch.allclose(maps[:, 0], torch.tensor(5 / 255))
    assert torch.allclose(maps[:, 1], torch.tensor(1 / math.sqrt(102)))


def test_standard_deviation_map() -> None:
    parameters = fixed(make_keys(0, 1), 0.4, 5.0)
    white = standard_deviation_map(torch.ones(1, 1, 32, 32), parameters)
    maps = noise_level_maps(parameters, 32, 32)
    assert torch.allclose(white, maps.square().sum(dim=1, keepdim=True).sqrt())
    assert torch.allclose(standard_deviation_map(torch.zeros(1, 1, 32, 32), parameters), maps[:, :1])


# errors


def test_too_many_photons_are_refused() -> None:
    with pytest.raises(ValueError, match="eta up to 3921"):
        PoissonGaussian(eta=5000)
    assert PoissonGaussian(eta=1e6, levels=1)


@pytest.mark.parametrize("name", ["eta", "sigma"])
@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_bad_parameters_are_named(name: str, bad: float) -> None:
    parameters = fixed(make_keys(0, 2), 0.4, 5.0)
    parameters[name] = torch.tensor([1.0, bad])
    with pytest.raises(ValueError, match=f"'{name}' must be"):
        PoissonGaussian().apply(torch.rand(2, 1, 32, 32), parameters)


def test_eta_0_is_refused_and_sigma_0_is_not() -> None:
    image, keys = torch.rand(1, 1, 32, 32), make_keys(0, 1)
    with pytest.raises(ValueError, match=r"'eta' must be from 0\.001 to 3921\.57 photons per grey level; it holds 0"):
        PoissonGaussian().apply(image, fixed(keys, 0.0, 5.0))
    PoissonGaussian().apply(image, fixed(keys, 1.0, 0.0))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.01, 1.01])
def test_bad_pixels_are_named(bad: float) -> None:
    image = torch.rand(1, 1, 32, 32)
    image[0, 0, 3, 5] = bad
    with pytest.raises(ValueError, match="image must lie in"):
        PoissonGaussian()(image)


def test_the_released_recipe_draws_the_steps_of_the_code() -> None:
    """15 values of eta and 20 of sigma, all of them, equally often; on both ends of the uniform numbers too."""
    drawn = degrade.recipe("x-bdcnn-released").draw(degrade.make_keys(0, 20_000), 64, 64)
    for name, values in (("eta", [0.4 + 0.1 * n for n in range(15)]), ("sigma", list(range(20)))):
        found, counts = drawn[name].unique(return_counts=True)
        torch.testing.assert_close(found, torch.tensor(values, dtype=torch.float32), atol=1e-6, rtol=0)
        share = 20_000 / len(values)
        assert float((counts - share).abs().max()) < 6 * share**0.5
    assert degrade.recipe("x-bdcnn-released", eta=0.7).draw(degrade.make_keys(0, 3), 64, 64)["eta"].tolist() == (
        pytest.approx([0.7] * 3)
    )
    with pytest.raises(ValueError, match=r"eta_step = -1.*within \[0, 1e\+06\]"):
        degrade.recipe("x-bdcnn", eta_step=-1)
