"""Laws of noise: mean, variance and distribution of a noisy pixel, ours or the user's own, and a check against one."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from degrade.testing.checks import FALSE_ALARM_RATE, NoiseFunction, constant_pixels
from degrade.testing.result import CheckResult, make_result, scipy_stats

Array = NDArray[np.float64]
_BINS = 60
_LEAST_EXPECTED = 10.0
_BATCHES = 64
_GRID = 200_001


@dataclass(frozen=True)
class Law:
    """The distribution of a noisy pixel whose clean value is x.

    Attributes:
        mean, variance: functions of x.
        cdf: function of x and values v to P(noisy <= v), for an array of values. It may have jumps.
        support: between which values the noisy pixel lies, nearly always.

    >>> normal = Law(lambda x: x, lambda x: 0.01, lambda x, v: scipy_stats().norm.cdf(v, x, 0.1), (-1.0, 2.0))
    >>> float(normal.cdf(0.5, np.array([0.5]))[0])
    0.5
    """

    mean: Callable[[float], float]
    variance: Callable[[float], float]
    cdf: Callable[[float, Array], Array]
    support: tuple[float, float] = (-1.0, 2.0)


def poisson_gaussian_law(
    eta: float, sigma: float, *, levels: float = 255.0, clip: bool = False, bits: int | None = None
) -> Law:
    """Poisson(eta g) / eta + N(0, sigma^2) at g = levels x: as it is, clipped to [0, 1], or rounded to levels too.

    Args:
        eta, sigma: photons per grey level, grey levels.
        levels: grey level of full white.
        clip: values below 0 are 0, above 1 are 1.
        bits: 8 rounds clipped values to multiples of 1 / 255, 16 to multiples of 1 / 65535.
    """
    if bits not in (None, 8, 16):
        raise ValueError(f"bits = {bits}: allowed is None, 8 or 16")
    steps = None if bits is None else 2**bits - 1

    def plain(x: float, v: Array) -> Array:
        return _cdf(eta * levels * x, eta * sigma, np.asarray(v, float) * levels * eta)

    def clipped(x: float, v: Array) -> Array:
        v = np.asarray(v, float)
        ends = v if steps is None else (np.floor(v * steps + 1e-9) + 0.5) / steps
        return np.where(v < 0, 0.0, np.where(v >= 1 - 1e-12, 1.0, plain(x, ends)))

    if not clip and bits is None:
        spread = math.sqrt(levels / eta + sigma**2) / levels
        return Law(
            lambda x: x, lambda x: (levels * x / eta + sigma**2) / levels**2, plain, (-9 * spread, 1 + 9 * spread)
        )
    points = np.linspace(0, 1, _GRID) if steps is None else np.arange(steps + 1) / steps

    def moment(x: float, order: int) -> float:
        """E X^order of a law on [0, 1], from its tail."""
        tail = 1 - clipped(x, points[:-1])
        return float((tail * np.diff(points**order)).sum())

    return Law(lambda x: moment(x, 1), lambda x: moment(x, 2) - moment(x, 1) ** 2, clipped, (0.0, 1.0))


def check_law(
    noise_function: NoiseFunction,
    law: Law,
    *,
    values: Sequence[float] = (0.02, 0.1, 0.3, 0.6, 0.9),
    channels: int = 1,
    samples: int = 200_000,
    seed: int = 0,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> list[CheckResult]:
    """Check mean, variance and distribution of noise on constant images against a law, at each value.

    The mean is judged in the law's standard errors, the variance in those between 64 batches, the distribution by a
    chi-square test over up to 60 bins of about equal probability, so that laws may have jumps.

    Args:
        noise_function: maps (image (B, channels, H, W), keys (B,)) to a noisy image.
        law: what the noise should be; its own mean, variance and cdf may be the user's.
        values: of x, in [0, 1].
        channels, samples, seed: of the images, pixels at each value, of the keys.
        false_alarm_rate: of each result.
    """
    results = []
    for number, x in enumerate(values):
        noisy = constant_pixels(noise_function, x, samples, seed + number, channels)
        where = f"at x = {x:.3g}"
        results += [
            _mean(noisy, law, x, where, false_alarm_rate),
            _variance(noisy, law, x, where, false_alarm_rate),
            _bins(noisy.numpy(), law, x, where, false_alarm_rate),
        ]
    return results


def _cdf(rate: float, spread: float, v: Array) -> Array:
    """P(Poisson(rate) + N(0, spread^2) <= v), in photons."""
    stats = scipy_stats()
    if spread == 0:
        found: Array = stats.poisson.cdf(np.floor(v + 1e-6), rate) if rate else (v >= -1e-6).astype(float)
        return found
    last = stats.poisson.isf(1e-13, rate) if rate else 0
    k = np.arange(stats.poisson.ppf(1e-13, rate) if rate else 0, last + 1)
    weights = stats.poisson.pmf(k, rate) if rate else np.ones(1)
    low, high = k[0] - 9 * spread, k[-1] + 9 * spread
    grid = np.linspace(low, high, 20_001)
    total = np.zeros_like(grid)
    for count, weight in zip(k, weights, strict=True):
        total += weight * stats.norm.cdf((grid - count) / spread)
    interpolated: Array = np.interp(v, grid, total, left=0.0, right=1.0)
    return interpolated


def _mean(noisy: Tensor, law: Law, x: float, where: str, rate: float) -> CheckResult:
    expected, error = law.mean(x), math.sqrt(law.variance(x) / len(noisy))
    found = float(noisy.mean())
    z = (found - expected) / error if error else math.inf * (found != expected)
    p = math.erfc(abs(z) / math.sqrt(2)) if error else float(found == expected)
    message = f"mean {where}: {found:.5g} instead of {expected:.5g}, {z:+.1f} standard errors"
    return make_result(f"mean {where}", z, p, rate, message)


def _variance(noisy: Tensor, law: Law, x: float, where: str, rate: float) -> CheckResult:
    squares = (noisy - law.mean(x)).square()
    parts = squares[: len(squares) // _BATCHES * _BATCHES].reshape(_BATCHES, -1).mean(dim=1)
    expected, found = law.variance(x), float(parts.mean())
    error = float(parts.std()) / math.sqrt(_BATCHES)
    t = (found - expected) / error if error else math.inf * (not math.isclose(found, expected, abs_tol=1e-12))
    p = float(2 * scipy_stats().t.sf(abs(t), _BATCHES - 1)) if error else float(t == 0)
    message = f"variance {where}: {found:.5g} instead of {expected:.5g}, {t:+.1f} standard errors"
    return make_result(f"variance {where}", t, p, rate, message)


def _bins(noisy: Array, law: Law, x: float, where: str, rate: float) -> CheckResult:
    """Chi-square over bins that end where the law's cdf passes multiples of 1 / 60."""
    low, high = law.support
    grid = np.linspace(low, high, _GRID)
    below = law.cdf(x, grid)
    places = np.searchsorted(below, np.arange(1, _BINS) / _BINS)
    half = (high - low) / (_GRID - 1) / 2  # off the jumps
    edges = np.unique(grid[np.clip(places, 0, _GRID - 1)] + half)
    expected = np.diff(np.concatenate(([0.0], law.cdf(x, edges), [1.0]))) * len(noisy)
    observed = np.bincount(np.searchsorted(edges, noisy), minlength=len(edges) + 1).astype(float)
    expected, observed = _joined(expected, observed)
    name = f"distribution {where}"
    if len(expected) < 2:
        apart = float(abs(observed.sum() - expected.sum()))
        return make_result(name, apart, 1.0, rate, f"{name}: one value alone, nothing to compare")
    statistic = float(((observed - expected) ** 2 / expected).sum())
    p = float(scipy_stats().chi2.sf(statistic, len(expected) - 1))
    return make_result(
        name, statistic, p, rate, f"{name}: chi-square {statistic:.1f} over {len(expected)} bins of the law"
    )


def _joined(expected: Any, observed: Any) -> tuple[Array, Array]:
    """Bins joined from the left until each expects at least 10."""
    pairs: list[list[float]] = []
    for e, o in zip(expected, observed, strict=True):
        if pairs and pairs[-1][0] < _LEAST_EXPECTED:
            pairs[-1][0] += e
            pairs[-1][1] += o
        else:
            pairs.append([e, o])
    if len(pairs) > 1 and pairs[-1][0] < _LEAST_EXPECTED:
        e, o = pairs.pop()
        pairs[-1][0] += e
        pairs[-1][1] += o
    first, second = zip(*pairs, strict=True)
    return np.array(first), np.array(second)
