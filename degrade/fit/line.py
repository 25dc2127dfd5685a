"""Fit a line to variance against mean: bins, weighted least squares, and checks of the result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from degrade.fit.clipping import Array, Ends, unclip

_Z = 2.0  # half the width of a 95 % interval in standard errors; 1.96, and a little for the fitted weights
_PASSES = 12
_LEAST_BINS = 4
_WORST_SLOPE = 0.25  # standard error of the slope over the slope
_WORST_MISFIT = 0.10  # of the bins' variances from the line, beyond their standard errors
_NARROW = 4.0  # standard deviation of the bins over that of the noise in the values they are made by
_LEAST_NOISE = 0.5  # grey levels squared of 8 bits: six times what rounding alone would give


@dataclass(frozen=True)
class Bins:
    """Points of variance against mean, in order of the mean: (K,) each, in grey levels and grey levels squared.

    `mean` and `variance` of the values in a bin, without the variance of rounding and, where `used`, corrected for
    clipping. `error` is the standard error of the variance, `count` the number of patches or pixels, `clipped` the
    share of clipped values, `used` whether the line is fitted to the bin: not if too many values are clipped.
    """

    mean: Array
    variance: Array
    error: Array
    count: NDArray[np.int64]
    clipped: Array
    used: NDArray[np.bool_]

    @staticmethod
    def of(points: Sequence[tuple[float, float, float, int, float]]) -> Bins:
        """Make bins from (mean, variance, error, count, clipped) of each."""
        columns = np.array(points, dtype=np.float64).reshape(-1, 5).T
        mean, variance, error, count, clipped = columns
        return Bins(mean, variance, error, count.astype(np.int64), clipped, variance > 0)


@dataclass(frozen=True)
class NoiseFit:
    """Estimate of eta and sigma of f = Poisson(eta g) / eta + N(0, sigma^2), so that Var f = g / eta + sigma^2.

    Where they cannot be estimated, `eta`, `sigma` and the intervals are NaN, `reliable` is False, and `warnings` has
    the reasons.

    Attributes:
        eta: photons per grey level.
        sigma: standard deviation of the electronic noise, grey levels.
        eta_interval, sigma_interval: 95 % intervals.
        bins: points that the line is fitted to.
        warnings: reasons, or cautions about a reliable estimate.
        method: "frames" or "images".
        levels: grey value of full white that eta and sigma refer to.
    """

    eta: float
    sigma: float
    eta_interval: tuple[float, float]
    sigma_interval: tuple[float, float]
    bins: Bins
    warnings: tuple[str, ...]
    method: str
    levels: float = 255.0

    @property
    def reliable(self) -> bool:
        """Whether eta and sigma could be estimated."""
        return math.isfinite(self.eta) and math.isfinite(self.sigma)

    def refused(self, *reasons: str) -> NoiseFit:
        """A copy without numbers, with reasons added to the warnings."""
        nan = (math.nan, math.nan)
        warnings = (*self.warnings, *reasons)
        return replace(self, eta=math.nan, sigma=math.nan, eta_interval=nan, sigma_interval=nan, warnings=warnings)


@dataclass(frozen=True)
class Line:
    """The line variance = slope * mean + offset, with the covariance of (slope, offset) and chi-square per degree of
    freedom; `misfit` is the relative distance of the bins from the line beyond their standard errors."""

    slope: float
    offset: float
    covariance: Array
    chi2: float
    misfit: float


def fit_line(mean: Array, variance: Array, relative: Array) -> Line:
    """Fit a weighted least-squares line with offset >= 0; weights are iterated, errors being proportional to the line.

    Args:
        mean, variance: (K,), K >= 2.
        relative: (K,) standard errors of `variance`, over the variance.

    >>> mean = np.linspace(10, 200, 20)
    >>> line = fit_line(mean, mean / 2 + 9, np.full(20, 0.01))
    >>> round(line.slope, 6), round(line.offset, 6)
    (0.5, 9.0)
    """
    columns = np.stack([mean, np.ones_like(mean)], axis=1)
    error = relative * np.maximum(variance, 1e-3 * variance.max() + 1e-12)
    floor = 1e-3 * float(np.median(variance)) + 1e-12
    for _ in range(_PASSES):
        weighted = columns / error[:, None]
        covariance = np.linalg.pinv(weighted.T @ weighted)
        solution = covariance @ (weighted.T @ (variance / error))
        slope, offset = float(solution[0]), float(solution[1])
        if offset < 0:
            slope, offset = float((weighted[:, 0] @ (variance / error)) / (weighted[:, 0] @ weighted[:, 0])), 0.0
        model = np.maximum(slope * mean + offset, floor)
        error = relative * model
    residual = (variance - model) / error
    freedom = max(1, len(mean) - 2)
    chi2 = float(residual @ residual) / freedom
    weight = 1 / relative**2
    apart = float((weight * (variance / model - 1) ** 2).sum() / weight.sum())
    explained = freedom / float(weight.sum())
    free = Line(float(solution[0]), float(solution[1]), covariance * max(1.0, chi2), chi2, 0.0)
    return replace(free, slope=slope, offset=offset, misfit=math.sqrt(max(0.0, apart - explained)))


def empty_fit(bins: Bins, method: str, levels: float) -> NoiseFit:
    """A fit with measured bins and no numbers yet."""
    nan = (math.nan, math.nan)
    return NoiseFit(math.nan, math.nan, nan, nan, bins, (), method, levels)


def fit_bins(
    measured: NoiseFit,
    ends: Ends,
    *,
    most_clipped: float,
    texture: float = 0.0,
    floor: float = 0.0,
    blur: float = 0.0,
) -> NoiseFit:
    """Fit the line to measured bins, and correct them for clipping.

    Args:
        measured: from `empty_fit`.
        ends: where values are clipped.
        most_clipped: largest share of clipped values that is corrected; bins with more are left out.
        texture: variance that structure of the image may add to the bins; the intervals include it.
        floor: smallest relative error of slope and offset, however many pixels there are.
        blur: noise of the values by which pixels are binned, relative to the noise of a pixel.
    """
    bins, levels = measured.bins, measured.levels
    holds = bins.used
    relative = bins.error / np.maximum(bins.variance, 1e-12)
    for tolerated in (0.003, 0.02, 0.1):
        used = holds & (bins.clipped <= tolerated)
        if used.sum() >= 2 * _LEAST_BINS:
            break
    mean, variance = bins.mean, bins.variance
    for _ in range(_PASSES if ends.clip else 1):
        if used.sum() < _LEAST_BINS:
            break
        line = fit_line(mean[used], variance[used], relative[used])
        if line.slope <= 0:
            break
        mean, factor, share = unclip(bins.mean, 1 / line.slope, math.sqrt(line.offset), ends, levels)
        variance = bins.variance / factor
        used = holds & (share <= most_clipped)
    mean, variance = np.where(used, mean, bins.mean), np.where(used, variance, bins.variance)
    corrected = replace(bins, mean=mean, variance=variance, error=relative * np.maximum(variance, 0), used=used)
    result = replace(measured, bins=corrected)
    if used.sum() < _LEAST_BINS:
        why = (
            "most of the grey values are clipped"
            if holds.sum() >= _LEAST_BINS
            else "the image is too small, too full of detail, or its grey values hardly differ"
        )
        return result.refused(f"{why}: {used.sum()} points are left for the line, {_LEAST_BINS} are needed")
    line = fit_line(mean[used], variance[used], relative[used])
    spread = _deviation(mean[used], bins.count[used])
    noise = math.sqrt(float(np.average(variance[used], weights=bins.count[used])))
    if spread < _NARROW * blur * noise:
        return result.refused(
            f"the grey values hardly differ: their standard deviation is {spread:.1f} grey levels, that of the noise "
            f"{noise:.1f}; a line needs bright and dark places"
        )
    reasons = _reasons(line, mean[used], variance[used], levels)
    if reasons:
        return result.refused(*reasons)
    return _numbers(result, line, texture, floor)


def _deviation(mean: Array, count: NDArray[np.int64]) -> float:
    center = np.average(mean, weights=count)
    return math.sqrt(float(np.average((mean - center) ** 2, weights=count)))


def _reasons(line: Line, mean: Array, variance: Array, levels: float) -> list[str]:
    error = math.sqrt(line.covariance[0, 0])
    steps = levels / 255
    if float(np.median(variance)) < _LEAST_NOISE * steps**2:
        return [
            f"the noise is hardly more than the rounding of 8 bits (variance {np.median(variance) / steps**2:.2f} "
            "grey levels squared): the image has been smoothed or made smaller, or is too clean to measure"
        ]
    reasons = []
    if line.slope < -3 * error:
        reasons.append(
            "the variance falls where the grey value rises: the image is inverted (dose is dark), or a logarithm or a "
            "gamma was applied; grey values must be proportional to the dose"
        )
    elif line.slope <= 0 or error > _WORST_SLOPE * line.slope:
        reasons.append(
            f"the line is not determined: over grey values {mean.min():.0f} to {mean.max():.0f} the variance rises "
            f"by {line.slope:.3g} +- {error:.2g} a grey level; a wider range of grey values or more images are needed"
        )
    elif line.misfit > _WORST_MISFIT:
        reasons.append(
            f"the variance does not follow a line (off by {line.misfit:.0%}): the grey values are not proportional to "
            "the dose (a logarithm, a gamma or a contrast stretch was applied), or the noise is of another kind"
        )
    return reasons


def _numbers(result: NoiseFit, line: Line, texture: float, floor: float) -> NoiseFit:
    slope_error = math.hypot(math.sqrt(line.covariance[0, 0]), floor * line.slope)
    offset_error = math.hypot(math.sqrt(line.covariance[1, 1]), floor * line.offset)
    eta, sigma = 1 / line.slope, math.sqrt(line.offset)
    shallow, steep = line.slope - _Z * slope_error, line.slope + _Z * slope_error
    reach = (line.offset - _Z * offset_error - texture, line.offset + _Z * offset_error)
    low, high = (math.sqrt(max(0.0, end)) for end in reach)
    return replace(result, eta=eta, sigma=sigma, eta_interval=(1 / steep, 1 / shallow), sigma_interval=(low, high))
