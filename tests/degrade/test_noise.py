"""Poisson quantiles against SciPy, their edges, their gradients; the normal quantile and Box and Muller's normals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import special, stats

from degrade.ops.gaussian import gaussian
from degrade.ops.poisson import normal_quantile, poisson, poisson_unchecked

PAIRS = 1_000_000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decade", range(-3, 6))
def test_counts_are_scipys(decade: int, dtype: torch.dtype) -> None:
    """The issue's bound: 1 in 10,000 wrong up to rate 1e4, 1 in 100 above, never by more than one count."""
    random = np.random.default_rng(decade + 10)
    pairs = PAIRS if dtype == torch.float64 else PAIRS // 10
    rate = torch.from_numpy(10 ** (decade + random.random(pairs))).to(dtype)
    uniform = random.random(pairs)
    count, rates = poisson(rate, torch.from_numpy(uniform)).double().numpy(), rate.double().numpy()
    # what SciPy's quantile looks for, without its search, which takes a minute: cdf(k - 1) < u <= cdf(k)
    right = (special.pdtr(count, rates) >= uniform) & ((count == 0) | (special.pdtr(count - 1, rates) < uniform))
    wrong = np.flatnonzero(~right)
    assert len(wrong) <= (1e-4 if decade < 4 else 1e-2) / 2 * pairs
    if len(wrong):
        assert np.abs(count[wrong] - stats.poisson.ppf(uniform[wrong], rates[wrong])).max() <= 1
    some = slice(2000)
    assert np.abs(count[some] - stats.poisson.ppf(uniform[some], rates[some])).max() <= len(wrong[wrong < 2000])


@pytest.mark.parametrize("rate", [0, 1e-300, 1e-30, 1e-3, 0.5, 5.999, 6, 10, 30, 700, 1000, 1e4, 1e6])
@pytest.mark.parametrize("uniform", [1e-310, 1e-300, 1e-100, 2.0**-33, 2.0**-32, 0.5, 1 - 2.0**-32, 1 - 2.0**-53])
def test_both_tails(rate: float, uniform: float) -> None:
    count = poisson(torch.tensor([rate], dtype=torch.float64), torch.tensor([uniform], dtype=torch.float64)).item()
    assert abs(count - stats.poisson.ppf(uniform, rate)) <= (1 if rate > 5 else 0)


@pytest.mark.parametrize("rate", [0.0, 1e-30, 1.0, 5.0, 100.0, 1e6])
def test_uniform_0_is_count_0(rate: float) -> None:
    assert poisson(torch.tensor([rate]), torch.zeros(1)).item() == 0


def test_the_smallest_float64() -> None:
    """SciPy's own quantile is 60 counts off at 5e-324; the exact one is where log P(N <= k) crosses."""
    k = poisson(torch.tensor([1e6], dtype=torch.float64), torch.tensor([5e-324], dtype=torch.float64)).item()
    j = np.arange(k - 3000, k + 3)
    log_cdf = np.logaddexp.accumulate(stats.poisson.logpmf(j, 1e6))
    exact = j[np.searchsorted(log_cdf, math.log(5e-324))]
    assert abs(k - exact) <= 1


def test_monotone_in_the_uniform() -> None:
    uniform = torch.linspace(0, 1 - 2.0**-33, 100_001, dtype=torch.float64)
    for rate in (0.3, 5.99, 6.0, 77.7, 3000.0):
        assert (poisson(torch.full_like(uniform, rate), uniform).diff() >= 0).all()


def test_inputs_are_left_alone() -> None:
    rate, uniform = torch.rand(1000) * 20, torch.rand(1000, dtype=torch.float64)
    before = rate.clone(), uniform.clone()
    poisson(rate, uniform)
    assert torch.equal(rate, before[0])
    assert torch.equal(uniform, before[1])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (2, 3, 4)])
def test_shapes(shape: tuple[int, ...]) -> None:
    rate = torch.full(shape, 3.0)
    assert poisson(rate, torch.full(shape, 0.5)).shape == shape


def test_memory_layout_does_not_matter() -> None:
    rate, uniform = torch.rand(40, 30) * 12, torch.rand(40, 30, dtype=torch.float64)
    assert torch.equal(poisson(rate.T, uniform.T), poisson(rate, uniform).T)
    assert torch.equal(poisson(rate[::2], uniform[::2]), poisson(rate, uniform)[::2])


@pytest.mark.parametrize("bad", [math.nan, -1e-9, math.inf, 1.001e6])
def test_bad_rates_are_named(bad: float) -> None:
    with pytest.raises(ValueError, match="rate must lie in"):
        poisson(torch.tensor([1.0, bad]), torch.tensor([0.5, 0.5]))


@pytest.mark.parametrize("bad", [math.nan, -1e-9, 1.5])
def test_bad_uniforms_are_named(bad: float) -> None:
    with pytest.raises(ValueError, match="uniform must lie in"):
        poisson(torch.tensor([1.0, 1.0]), torch.tensor([0.5, bad]))


def test_bad_types_and_shapes() -> None:
    with pytest.raises(TypeError, match="float32 or float64"):
        poisson(torch.ones(2, dtype=torch.float16), torch.rand(2))
    with pytest.raises(ValueError, match="one shape"):
        poisson(torch.ones(2), torch.rand(3))


@pytest.mark.parametrize("rate", [0.3, 4.0, 40.0, 900.0])
def test_gradients_of_the_first_two_moments(rate: float) -> None:
    """d E[k] = 1 and d E[k^2] = 2 rate + 1, within 1 %, with error bars under a fifth of that."""
    uniform = (torch.arange(2_000_000, dtype=torch.float64) + 0.5) / 2_000_000  # every quantile: no sampling error
    rates = torch.full_like(uniform, rate, requires_grad=True)
    k = poisson(rates, uniform)
    for loss, exact in ((k.mean(), 1.0), (k.square().mean(), 2 * rate + 1)):
        (gradient,) = torch.autograd.grad(loss, rates, retain_graph=True)
        assert abs(gradient.sum().item() / exact - 1) < 0.002


def test_gradient_at_rate_0_is_1() -> None:
    rate = torch.tensor([0.0, 1e-38, 1e-45], requires_grad=True)
    poisson(rate, torch.tensor([0.9, 0.9, 0.9])).sum().backward()
    assert rate.grad is not None
    assert rate.grad.tolist() == [1.0, 0.5, 0.5]


def test_the_blind_path_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs on a GPU and when compiled: both branches for every pixel."""
    uniform = (torch.randint(2**32, (200_000,), generator=torch.Generator().manual_seed(1)) + 0.5) * 2.0**-32
    rate = torch.rand(200_000, generator=torch.Generator().manual_seed(2), dtype=torch.float64) * 30
    uniform = torch.cat((uniform.double(), torch.tensor([0.5 * 2.0**-32, 1 - 0.5 * 2.0**-32], dtype=torch.float64)))
    rate = torch.cat((rate, torch.tensor([5.99, 5.99], dtype=torch.float64)))
    sparse = poisson_unchecked(rate, uniform)
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(poisson_unchecked(rate, uniform), sparse)


def test_normal_quantile() -> None:
    uniform = np.random.default_rng(0).random(1_000_000)
    off = normal_quantile(torch.from_numpy(uniform)).numpy() - special.ndtri(uniform)
    assert np.abs(off).mean() < 1.5e-7
    assert np.abs(off).max() < 2e-5
    far = np.array([5e-324, 1e-300, 1e-100, 1e-20, 2.0**-33, 1 - 2.0**-33, 1 - 2.0**-53])
    assert np.abs(normal_quantile(torch.from_numpy(far)).numpy() - special.ndtri(far)).max() < 2e-3


def test_gaussian_is_normal() -> None:
    """Kolmogorov and Smirnov, false-alarm rate 1e-6; the pair is uncorrelated."""
    generator = torch.Generator().manual_seed(0)
    words = [torch.randint(2**32, (300_000,), generator=generator) for _ in range(2)]
    first, second = gaussian(*words, torch.float64)
    for values in (first, second):
        assert stats.kstest(values.numpy(), "norm").pvalue > 1e-6
    assert abs(float((first * second).mean())) * math.sqrt(300_000) < 4.9
