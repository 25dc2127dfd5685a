"""Poisson counts and noise by compiled loops: SciPy's quantiles, the definition's counts, keys, threads, layouts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import special, stats
from torch import Tensor

import degrade
from degrade.models.poisson_gaussian import reference

pytest.importorskip("numba", reason="the loops need Numba")

from degrade.models.poisson_gaussian import cpu
from degrade.ops import poisson_cpu
from degrade.ops.poisson import poisson_unchecked

PAIRS = 200_000
EDGES = [0, 1, 2**31 - 1, 2**31, 2**32 - 2**16 - 1, 2**32 - 2**16, 2**32 - 2, 2**32 - 1]


def counts_of(words: NDArray[np.uint32], rate: NDArray[np.float32]) -> NDArray[np.float32]:
    """In blocks, as the noise is."""
    counts = np.empty_like(rate)
    for start in range(0, len(rate), 1000):
        part = slice(start, start + 1000)
        scratch = np.full((poisson_cpu.SCRATCH, len(rate[part])), np.nan, np.float32)
        poisson_cpu.poisson_counts(words[part].view(np.int32), rate[part], scratch, counts[part])
    return counts


def wrong_of(counts: NDArray[np.float64], uniform: NDArray[np.float64], rate: NDArray[np.float64]) -> NDArray[np.int64]:
    """Where they are not the smallest k with cdf(k) >= u, in float64."""
    right = (special.pdtr(counts, rate) >= uniform) & ((counts == 0) | (special.pdtr(counts - 1, rate) < uniform))
    return np.flatnonzero(~right)


@pytest.mark.parametrize("tails", [False, True])
@pytest.mark.parametrize("decade", range(-5, 6))
def test_counts_are_scipys(decade: int, tails: bool) -> None:
    """At most 1 in 10,000 wrong up to rate 1e4, 1 in 100 above, never by more than one.

    With `tails`, uniforms of every scale near 0 and 1, which are rare otherwise: ten times as many may be wrong.
    """
    random = np.random.default_rng(decade + 10)
    rate = (10 ** (decade + random.random(PAIRS))).astype(np.float32)
    words = random.integers(2**32, size=PAIRS, dtype=np.uint32)
    if tails:
        words >>= random.integers(32, size=PAIRS, dtype=np.uint32)
        words[::2] = ~words[::2]
    words[: len(EDGES)] = EDGES
    uniform, rates = (words.astype(np.float64) + 0.5) * 2.0**-32, rate.astype(np.float64)
    counts = counts_of(words, rate).astype(np.float64)
    wrong = wrong_of(counts, uniform, rates)
    assert len(wrong) <= (1e-4 if decade < 4 else 1e-2) * PAIRS * (10 if tails else 1)
    if len(wrong):
        assert np.abs(counts[wrong] - stats.poisson.ppf(uniform[wrong], rates[wrong])).max() <= 1


def test_rate_0_and_mixed_blocks() -> None:
    random = np.random.default_rng(0)
    rate = (random.random(PAIRS) * 12).astype(np.float32)
    rate[::3] = 0
    words = random.integers(2**32, size=PAIRS, dtype=np.uint32)
    words[: 3 * len(EDGES) : 3] = EDGES
    counts = counts_of(words, rate)
    assert not counts[::3].any()
    uniform = torch.from_numpy((words.astype(np.float64) + 0.5) * 2.0**-32)
    expected = poisson_unchecked(torch.from_numpy(rate), uniform).numpy()
    assert (counts != expected).mean() <= 1e-4
    alone = counts_of(words[rate < 6], rate[rate < 6])
    assert np.array_equal(alone, counts[rate < 6])


def test_a_wrong_constant_is_noticed() -> None:
    """The planted defect: counts by the normal approximation, and rates that are one thousandth off."""
    random = np.random.default_rng(1)
    rate = (random.random(PAIRS) * 100 + 6).astype(np.float32)
    words = random.integers(2**32, size=PAIRS, dtype=np.uint32)
    uniform, rates = (words.astype(np.float64) + 0.5) * 2.0**-32, rate.astype(np.float64)
    normal = np.floor(rates + np.sqrt(rates) * special.ndtri(uniform) + 0.5)
    assert len(wrong_of(np.maximum(normal, 0), uniform, rates)) > 1e-2 * PAIRS
    assert len(wrong_of(counts_of(words, rate * np.float32(1.001)).astype(np.float64), uniform, rates)) > 1e-2 * PAIRS


def batch(count: int, channels: int = 1, side: int = 75) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images, photons, sigma and keys; a part of each image is black."""
    generator = torch.Generator().manual_seed(count)
    image = torch.rand(count, channels, side, side + 2, generator=generator)
    image[..., :20] = 0
    photons = 10 ** (3 * torch.rand(count, generator=generator))
    return image, photons, 0.1 * torch.rand(count, generator=generator), degrade.make_keys(3, count)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("clip", [False, True])
def test_noise_is_the_definitions(channels: int, clip: bool) -> None:
    given = batch(6, channels)
    got, expected = cpu.noisy(*given, clip), reference._noisy(*given, clip)
    off = (got - expected).abs()
    photons = given[1].view(-1, 1, 1, 1)
    assert float((off > 1e-5).float().mean()) <= 1e-4
    assert float((off * photons).max()) < 1.01
    assert clip == (float(got.min()) >= 0)


def test_without_electronics_black_is_black() -> None:
    image, photons, sigma, keys = batch(2)
    noisy = cpu.noisy(image, photons, sigma * 0, keys, False)
    assert not noisy[..., :20].any()
    whole = (noisy * photons.view(-1, 1, 1, 1)).round() / photons.view(-1, 1, 1, 1)
    torch.testing.assert_close(noisy, whole, rtol=1e-6, atol=0)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_and_batches_change_nothing(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where an image is shared by threads: it has several parts."""
    monkeypatch.setattr(cpu, "PART", cpu.BLOCK)
    image, photons, sigma, keys = batch(3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    expected = cpu.noisy(image, photons, sigma, keys, True)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert torch.equal(cpu.noisy(image, photons, sigma, keys, True), expected)
    for i in range(3):
        one = slice(i, i + 1)
        assert torch.equal(cpu.noisy(image[one], photons[one], sigma[one], keys[one], True), expected[one])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_float32_rounded(dtype: torch.dtype) -> None:
    image, photons, sigma, keys = batch(2)
    image = image.to(dtype)
    noisy = cpu.noisy(image, photons, sigma, keys, True)
    assert noisy.dtype == dtype
    assert torch.equal(noisy, cpu.noisy(image.float(), photons, sigma, keys, True).to(dtype))


@pytest.mark.parametrize("shape", [(0, 1, 32, 32), (1, 1, 1, 1), (2, 1, 1, 3), (1, 3, 5, 7)])
def test_small_shapes(shape: tuple[int, ...]) -> None:
    image, count = torch.full(shape, 0.5), shape[0]
    given = image, torch.full((count,), 40.0), torch.full((count,), 0.1), degrade.make_keys(0, count)
    torch.testing.assert_close(cpu.noisy(*given, False), reference._noisy(*given, False), rtol=0, atol=1e-5)


def test_the_image_is_left_alone_and_any_layout_will_do() -> None:
    image, photons, sigma, keys = batch(2, 3)
    turned = image.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    before = turned.clone()
    expected = cpu.noisy(image, photons, sigma, keys, True)
    assert torch.equal(cpu.noisy(turned, photons, sigma, keys, True), expected)
    assert torch.equal(turned, before)
