"""Statistical checks of noise functions, each with the rate at which it fails a correct function.

A noise function maps (image, keys) to a noisy image: (B, C, H, W) float, in [0, 1], and (B,) int64, one key per
sample. `keyless` wraps a function of the image alone. `seed` fixes the keys: a keyed function gives the same result
in every run, so a check that passes once passes always.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from degrade.rng.keyed import make_keys
from degrade.testing.result import CheckResult, make_result, scipy_stats

NoiseFunction = Callable[[Tensor, Tensor], Tensor]

FALSE_ALARM_RATE = 1e-6
_LEAST_EXPECTED = 10.0  # counts per bin of a chi-square test


def keyless(function: Callable[[Tensor], Tensor]) -> NoiseFunction:
    """Wrap a function of the image alone, with random numbers of its own, as a noise function."""
    return lambda image, keys: function(image)


def check_poisson_gaussian(
    noise_function: NoiseFunction,
    eta: float,
    sigma: float,
    *,
    levels: float = 255.0,
    values: Sequence[float] = (0.02, 0.1, 0.3, 0.6, 0.9),
    channels: int = 1,
    samples: int = 200_000,
    seed: int = 0,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> list[CheckResult]:
    """Check that noise of constant images is Poisson(eta g) / eta + N(0, sigma^2), g = levels x, not clipped.

    At each value mean, variance, skewness and kurtosis are compared with the model, and the distribution: by a
    chi-square test of the counts if sigma is 0, else by a Kolmogorov-Smirnov test against the convolution. Where sigma
    is so small that counts can be told apart, counts and Gaussian remainders are tested separately.

    Args:
        noise_function: maps (image (B, channels, H, W), keys (B,)) to a noisy image.
        eta, sigma: expected, photons per grey level and grey levels.
        levels: grey level of full white.
        values: of x, in [0, 1].
        channels: of the images.
        samples: pixels at each value.
        seed: for the keys.
        false_alarm_rate: of each result.
    """
    stats = scipy_stats()
    results = []
    for number, x in enumerate(values):
        noisy = constant_pixels(noise_function, x, samples, seed + number, channels) * (levels * eta)
        rate, spread = eta * levels * x, eta * sigma
        where = f"at x = {x:g} (rate {rate:g})"
        results += [
            _moment(noisy, order, rate, spread, where, false_alarm_rate, stats) for order in ("mean", "variance")
        ]
        results += [
            _moment(noisy, order, rate, spread, where, false_alarm_rate, stats) for order in ("skewness", "kurtosis")
        ]
        results += _distribution(noisy, rate, spread, where, false_alarm_rate, stats)
    return results


def check_counts(
    counts: Tensor, rate: float, *, name: str = "counts", false_alarm_rate: float = FALSE_ALARM_RATE
) -> CheckResult:
    """Chi-square of counts against the Poisson distribution; bins that expect fewer than 10 are joined."""
    stats = scipy_stats()
    import numpy as np

    values = counts.detach().flatten().to("cpu", torch.float64).numpy()
    if not np.all(values == np.round(values)) or values.min(initial=0) < 0:
        return CheckResult(name, math.inf, 0.0, false_alarm_rate, False, f"{name}: not counts: not whole, or negative")
    total = len(values)
    wide = max(1, int(math.sqrt(rate) / 8))
    low, high = stats.poisson.ppf([_LEAST_EXPECTED / total, 1 - _LEAST_EXPECTED / total], rate)
    edges = np.arange(low, max(high, low + 1), wide)  # bins (-inf, edge0], (edge0, edge1], ..., (last, inf)
    below = np.concatenate(([0.0], stats.poisson.cdf(edges, rate), [1.0]))
    expected = np.diff(below) * total
    observed = np.bincount(np.searchsorted(edges, values), minlength=len(expected)).astype(float)
    expected, observed = _join(expected, observed)
    statistic = float(((observed - expected) ** 2 / expected).sum())
    p = float(stats.chi2.sf(statistic, len(expected) - 1))
    message = f"{name}: chi-square {statistic:.1f} over {len(expected)} bins of Poisson({rate:g})"
    return make_result(f"{name}, chi-square", statistic, p, false_alarm_rate, message)


def check_independence(
    noise_function: NoiseFunction,
    *,
    value: float = 0.5,
    channels: int = 3,
    batch: int = 8,
    side: int = 128,
    seed: int = 0,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> list[CheckResult]:
    """Check that noise is uncorrelated between neighbors, halves, channels, samples, views, epochs and adjacent keys.

    Each result is a correlation coefficient r over n pairs, judged by r sqrt(n), which is normal. Halves of the frame
    are compared because a generator with a short period would repeat itself there.

    Args:
        noise_function: maps (image (B, channels, H, W), keys (B,)) to a noisy image.
        value: of the constant image; far from 0 and 1, where clipping would hide the noise.
        channels: of the images; with 1 channels are not compared.
        batch, side: of the images.
        seed: of the keys.
        false_alarm_rate: of each result.
    """

    def noise(keys: Tensor) -> Tensor:
        image = torch.full((len(keys), channels, side, side), value)
        n = noise_function(image, keys).detach().to("cpu", torch.float64) - value
        return n - n.mean(dim=(2, 3), keepdim=True)

    keys = make_keys(seed, batch)
    n = noise(keys)
    half = side // 2
    adjacent = noise(keys + 1)
    pairs = {
        "neighbours in a row": (n[..., 1:], n[..., :-1]),
        "neighbours in a column": (n[..., 1:, :], n[..., :-1, :]),
        "neighbours on a diagonal": (n[..., 1:, 1:], n[..., :-1, :-1]),
        "upper and lower half": (n[..., :half, :], n[..., half : 2 * half, :]),
        "left and right half": (n[..., :half], n[..., half : 2 * half]),
        **{f"channels 0 and {other}": (n[:, 0], n[:, other]) for other in range(1, channels)},
        "samples": (n[1:], n[:-1]),
        "views": (n, noise(make_keys(seed, batch, view=1))),
        "epochs": (n, noise(make_keys(seed, batch, epoch=1))),
        "seeds": (n, noise(make_keys(seed + 1, batch))),
        "adjacent keys": (n, adjacent),
        "adjacent keys, magnitudes": (_centered(n.abs()), _centered(adjacent.abs())),
        "neighbours in a row, magnitudes": (_centered(n.abs())[..., 1:], _centered(n.abs())[..., :-1]),
    }
    return [_correlation(a, b, name, false_alarm_rate) for name, (a, b) in pairs.items()]


def check_keyed(
    noise_function: NoiseFunction, *, channels: int = 1, size: tuple[int, int] = (48, 40), seed: int = 0
) -> list[CheckResult]:
    """Check that the result depends on image and key alone, not on earlier calls or on the rest of the batch.

    Results are compared bit by bit; no chance is involved.

    Args:
        noise_function: maps (image (B, channels, *size), keys (B,)) to a noisy image.
        channels, size: of the images.
        seed: of images and keys.
    """
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand((5, channels, *size), generator=generator)
    keys = make_keys(seed, 5)
    before, given = image.clone(), keys.clone()
    state = torch.get_rng_state()
    whole = noise_function(image, keys)
    again = noise_function(image, keys)
    order = torch.tensor([3, 0, 4, 2, 1])
    same_picture = image[:1].repeat(5, 1, 1, 1)
    facts = {
        "the same keys give the same picture": torch.equal(whole, again),
        "the global generator is left alone": torch.equal(state, torch.get_rng_state()),
        "a sample alone is what it is in a batch": all(
            torch.equal(noise_function(image[i : i + 1], keys[i : i + 1])[0], whole[i]) for i in range(5)
        ),
        "the order of a batch does not matter": torch.equal(noise_function(image[order], keys[order]), whole[order]),
        "other keys give other noise": len({tuple(p.flatten().tolist()) for p in noise_function(same_picture, keys)})
        == 5,
        "image and keys are not changed": torch.equal(before, image) and torch.equal(given, keys),
    }
    return [CheckResult(n, float(ok), float(ok), 0.0, ok, f"{n}: {'yes' if ok else 'no'}") for n, ok in facts.items()]


def constant_pixels(noise_function: NoiseFunction, x: float, samples: int, seed: int, channels: int = 1) -> Tensor:
    """At least `samples` noisy pixels of constant images of value x, float64."""
    side = 128
    batch = -(-samples // (channels * side**2))
    image = torch.full((batch, channels, side, side), x)
    return noise_function(image, make_keys(seed, batch)).detach().to("cpu", torch.float64).flatten()


def _moment(
    noisy: Tensor, order: str, rate: float, spread: float, where: str, false_alarm_rate: float, stats: Any
) -> CheckResult:
    """Compare a sample moment, in photons, with the model's, in standard errors.

    The cumulants of Poisson(rate) + N(0, spread^2) are rate, but the second, rate + spread^2. The standard errors
    are those of the sample moments under the model for mean and variance, and from batches for the other two.
    """
    n = len(noisy)
    variance = rate + spread**2
    if order in ("mean", "variance"):
        if order == "mean":
            found, expected, error = float(noisy.mean()), rate, math.sqrt(variance / n)
        else:
            found, expected = float((noisy - rate).square().mean()), variance
            error = math.sqrt((rate + 2 * variance**2) / n)
        p = float(2 * stats.norm.sf(abs(found - expected) / error)) if error else float(found == expected)
    else:
        power, expected = (3, rate / variance**1.5) if order == "skewness" else (4, 3 + rate / variance**2)
        parts = ((noisy - rate) / math.sqrt(variance)).pow(power).view(-1, 128).mean(dim=1)
        parts = parts[: len(parts) // 64 * 64].view(64, -1).mean(dim=1)  # means of thousands: nearly normal
        found, error = float(parts.mean()), float(parts.std()) / 8
        p = float(2 * stats.t.sf(abs(found - expected) / error, 63)) if error else float(found == expected)
    statistic = (found - expected) / error if error else 0.0
    message = f"{order} {where}: {found:.5g} instead of {expected:.5g}, {statistic:+.1f} standard errors"
    return make_result(f"{order} {where}", statistic, p, false_alarm_rate, message)


def _distribution(
    noisy: Tensor, rate: float, spread: float, where: str, false_alarm_rate: float, stats: Any
) -> list[CheckResult]:
    if spread == 0:
        near = noisy.round()
        apart = (noisy - near).abs().max() < 1e-3 * max(1.0, rate / 1000)
        return [check_counts(near if apart else noisy, rate, name=f"counts {where}", false_alarm_rate=false_alarm_rate)]
    if spread <= 0.08:  # six standard deviations within half a count
        counts = noisy.round()
        return [
            check_counts(counts, rate, name=f"counts {where}", false_alarm_rate=false_alarm_rate),
            check_normal((noisy - counts) / spread, name=f"remainder {where}", false_alarm_rate=false_alarm_rate),
        ]
    import numpy as np

    k = np.arange(stats.poisson.ppf(1e-12, rate), stats.poisson.isf(1e-12, rate) + 1)
    weights = stats.poisson.pmf(k, rate)
    grid = np.linspace(k[0] - 7 * spread, k[-1] + 7 * spread, 20_001)
    cdf = np.zeros_like(grid)
    for count, weight in zip(k, weights, strict=True):
        cdf += weight * stats.norm.cdf((grid - count) / spread)
    test = stats.kstest(noisy.numpy(), lambda v: np.interp(v, grid, cdf))
    message = f"distribution {where}: Kolmogorov-Smirnov distance {test.statistic:.5f} from the model"
    name = f"distribution {where}"
    return [make_result(name, float(test.statistic), float(test.pvalue), false_alarm_rate, message)]


def check_normal(values: Tensor, *, name: str = "normal", false_alarm_rate: float = FALSE_ALARM_RATE) -> CheckResult:
    """Kolmogorov and Smirnov's test against N(0, 1)."""
    test = scipy_stats().kstest(values.detach().flatten().to("cpu", torch.float64).numpy(), "norm")
    message = f"{name}: Kolmogorov-Smirnov distance {test.statistic:.5f} from the normal distribution"
    return make_result(name, float(test.statistic), float(test.pvalue), false_alarm_rate, message)


def _centered(values: Tensor) -> Tensor:
    return values - values.mean(dim=(2, 3), keepdim=True)


def _correlation(a: Tensor, b: Tensor, name: str, false_alarm_rate: float) -> CheckResult:
    scale = float((a.square().mean() * b.square().mean()).sqrt())
    if scale == 0:
        return CheckResult(name, math.nan, 0.0, false_alarm_rate, False, f"{name}: there is no noise")
    r = float((a * b).mean()) / scale
    z = r * math.sqrt(a.numel())
    p = math.erfc(abs(z) / math.sqrt(2))
    return make_result(name, r, p, false_alarm_rate, f"{name}: correlation {r:+.5f} over {a.numel()} pairs")


def _join(expected: Any, observed: Any) -> tuple[Any, Any]:
    """Bins joined from the left until each expects enough; what is left over goes to the last."""
    import numpy as np

    joined: list[list[float]] = [[0.0, 0.0]]
    for e, o in zip(expected, observed, strict=True):
        if joined[-1][0] >= _LEAST_EXPECTED:
            joined.append([0.0, 0.0])
        joined[-1][0] += e
        joined[-1][1] += o
    if len(joined) > 1 and joined[-1][0] < _LEAST_EXPECTED:
        last = joined.pop()
        joined[-1] = [joined[-1][0] + last[0], joined[-1][1] + last[1]]
    return tuple(np.array(joined).T)
