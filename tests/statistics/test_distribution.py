"""The noise of every backend against its model; each check has a twin with a planted defect that it must reject.

False-alarm rate of each result: 1e-6, at fixed seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import degrade
from degrade import make_keys
from degrade.backend import choose
from degrade.models.poisson_gaussian import reference as pixel_noise
from degrade.ops.poisson import poisson
from degrade.rng import keyed
from degrade.testing import check_poisson_gaussian, strategies
from degrade.testing.checks import CheckResult, NoiseFunction, check_counts, check_normal
from tests.statistics import defects

RATES = [0.05, 0.5, 1.0, 5.0, 12.0, 30.0, 100.0, 500.0, 2000.0, 1e5]


@pytest.fixture(params=["reference", "cpu"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    """The definition and the loops, one after the other."""
    with degrade.backend(request.param):
        yield request.param


every_backend = pytest.mark.usefixtures("backend")


def counts_of(noise_function: NoiseFunction, rate: float) -> Tensor:
    """400,000 counts of a function of eta 1 / 255, so that a photon is 1."""
    image = torch.full((4, 1, 316, 316), rate)
    return noise_function(image, make_keys(5, 4))


def failed(results: list[CheckResult]) -> list[str]:
    return [result.message for result in results if not result]


@every_backend
@pytest.mark.parametrize("rate", RATES)
def test_counts(rate: float) -> None:
    result = check_counts(counts_of(defects.right(1 / 255, 0.0), rate).round(), rate)
    assert result, result.message


@every_backend
@pytest.mark.parametrize("rate", [rate for rate in RATES if rate < 400])
def test_counts_reject_the_normal_approximation(rate: float) -> None:
    assert not check_counts(counts_of(defects.normal_approximation(1 / 255, 0.0, whole=True), rate).round(), rate)


@every_backend
@pytest.mark.parametrize("rate", RATES)
def test_counts_reject_a_rate_that_is_off(rate: float) -> None:
    """By 2 % and two hundredths, at least six standard errors of the mean at every rate."""
    assert not check_counts(counts_of(defects.right(1 / 255, 0.0), rate * 1.02 + 0.02).round(), rate)


@every_backend
@pytest.mark.parametrize("rate", [rate for rate in RATES if rate >= 1])
def test_counts_reject_a_variance_that_is_off(rate: float) -> None:
    """2 % more variance about the same mean: pixels whose rates vary a little. (Below 1 that is too rare to see.)"""
    image = torch.full((4, 1, 316, 316), rate)
    normal = keyed.normals(make_keys(6, 4), "defect", (1, 316, 316))
    varied = (image + (0.02 * rate) ** 0.5 * normal).clamp_min(0)
    assert not check_counts(counts_of(lambda _, keys: defects.right(1 / 255, 0.0)(varied, keys), rate).round(), rate)


@every_backend
@pytest.mark.parametrize(("eta", "sigma"), [(0.4, 5.0), (1.9, 0.0), (0.05, 1.0), (0.4, 20.0), (100.0, 0.5)])
def test_the_model(eta: float, sigma: float) -> None:
    assert not failed(check_poisson_gaussian(defects.right(eta, sigma), eta, sigma))


@pytest.mark.slow
@every_backend
@pytest.mark.parametrize(
    ("defect", "eta", "sigma", "seen_by"),
    [
        (defects.variance_off, 0.4, 5.0, "variance"),
        (defects.variance_off, 1.9, 20.0, "variance"),
        (defects.eta_on_the_wrong_side, 0.4, 5.0, "variance"),
        (defects.eta_on_the_wrong_side, 1.9, 5.0, "variance"),
        (defects.sigma_in_photons, 0.4, 5.0, "variance"),
        (defects.offset, 0.4, 5.0, "mean"),
        (defects.normal_approximation, 5 / (255 * 0.02), 0.0, "skewness"),
        (defects.normal_approximation, 5 / (255 * 0.02), 0.0, "kurtosis"),
        (defects.normal_approximation, 5 / (255 * 0.02), 0.0, "counts"),
        (defects.normal_approximation, 0.4, 1.0, "distribution"),
        (defects.uniform_electronics, 0.4, 20.0, "kurtosis"),
        (defects.uniform_electronics, 0.4, 20.0, "distribution"),
        (defects.uniform_electronics, 0.05, 1.0, "remainder"),
    ],
)
def test_the_model_rejects(
    defect: Callable[[float, float], NoiseFunction], eta: float, sigma: float, seen_by: str
) -> None:
    """Each defect, by the moment or distribution that must see it."""
    results = check_poisson_gaussian(defect(eta, sigma), eta, sigma)
    assert any(name.startswith(seen_by) for name in (result.name for result in results if not result))


@every_backend
def test_the_gaussian_part() -> None:
    """Kolmogorov and Smirnov, on black, where there are no photons."""
    ones = torch.ones(4)
    z = pixel_noise.noisy(torch.zeros(4, 1, 300, 301), ones, ones, make_keys(0, 4))
    assert check_normal(z)
    assert check_normal(keyed.normals(make_keys(0, 4), "any", (1, 300, 301)))


@every_backend
@pytest.mark.parametrize("scale", [1.02, 0.98])
def test_the_gaussian_part_rejects_a_variance_that_is_off(scale: float) -> None:
    ones = torch.ones(4)
    z = pixel_noise.noisy(torch.zeros(4, 1, 600, 601), ones, ones * scale**0.5, make_keys(0, 4))
    assert not check_normal(z)


@every_backend
def test_the_gaussian_part_rejects_an_offset_and_another_shape() -> None:
    z = pixel_noise.noisy(torch.zeros(4, 1, 300, 301), torch.ones(4), torch.ones(4), make_keys(0, 4))
    assert not check_normal(z + 0.02)
    assert not check_normal(z.clamp(-1.8, 1.8))


@settings(max_examples=25, deadline=None)
@given(rate=st.floats(1e-3, 1e5), keys=strategies.keys(2))
def test_counts_at_any_rate_and_key(rate: float, keys: Tensor) -> None:
    """False-alarm rate 1e-6 for each of 25 cases; Hypothesis looks for the worst."""
    words = torch.cat(keyed.words(keys, "any", 0, 3000), dim=1)
    uniform = (words + 0.5) * 2.0**-32
    if len(set(keys.tolist())) == len(keys):
        assert check_counts(poisson(torch.full_like(uniform, rate), uniform), rate, false_alarm_rate=1e-9)


def test_the_loops_serve() -> None:
    """Else the checks above would ask the definition twice."""
    with degrade.backend("cpu"):
        assert choose(pixel_noise.OPERATION, torch.device("cpu")).name == "cpu"


def test_counts_that_are_not_whole_are_no_counts() -> None:
    assert not check_counts(torch.tensor([0.5, 1.0]), 1.0)
    assert not check_counts(torch.tensor([-1.0, 1.0]), 1.0)


def test_false_alarms_come_as_often_as_stated() -> None:
    """At a rate of 5 %, over 400 runs of right functions: 5 % of the results, within four standard errors."""
    rejected = [
        not check_counts(torch.from_numpy(np.random.default_rng(i).poisson(7.0, 5000)), 7.0, false_alarm_rate=0.05)
        for i in range(400)
    ]
    assert abs(np.mean(rejected) - 0.05) < 4 * (0.05 * 0.95 / 400) ** 0.5
