"""Plot of a noise function against Poisson(eta g) / eta + N(0, sigma^2): variance against mean, and quantiles."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from degrade import figures
from degrade.rng.keyed import make_keys
from degrade.testing.checks import NoiseFunction
from degrade.testing.result import scipy_stats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEVELS = 255.0
_GREYS = 24  # grey values at which the variance is measured
_SIDE = 160
_CHANCE = 0.99  # that a quantile of a right function is within its band


def plot_noise(function: NoiseFunction, eta: float, sigma: float, name: str) -> Figure:
    """Plot a noise function beside its model, 1400 x 640 pixels: `figures.to_pixels` makes an image of it.

    On the left the variance at 24 grey values and the line g / eta + sigma^2. On the right quantiles of the residuals
    at a dark and at a bright grey value against those of the model, both in the model's standard deviations, with the
    band in which each of them is with a probability of 99 % if the function is right.

    Args:
        function: maps (image (B, 1, H, W), keys (B,)) to a noisy image that is not clipped.
        eta, sigma: of the model: photons per grey level, grey levels of 255.
        name: for the title.

    Raises:
        ModuleNotFoundError: Matplotlib or SciPy is not installed.
    """
    figure = figures.new_figure(1400, 640)
    left, right = figure.subplots(1, 2)
    grey = torch.linspace(0.02, 0.98, _GREYS)
    image = grey.view(-1, 1, 1, 1).expand(-1, 1, _SIDE, _SIDE).contiguous()
    noisy = function(image, make_keys(0, _GREYS)).detach().to("cpu", torch.float64) * _LEVELS
    mean = grey.double() * _LEVELS
    residual = (noisy - mean.view(-1, 1, 1, 1)).flatten(1)
    _variance(left, mean, residual.square().mean(dim=1), eta, sigma)
    rows = ((1, figures.SECOND), (_GREYS - 3, figures.POINT))
    farthest = max(_quantiles(right, residual[row], float(mean[row]), eta, sigma, color) for row, color in rows)
    right.axline((0, 0), slope=1, color=figures.LINE, linewidth=2, label="equal", zorder=1)
    right.set(xlim=(-1.05 * farthest, 1.05 * farthest), ylim=(-1.05 * farthest, 1.05 * farthest))
    figures.style(right, "the model's quantiles, standard deviations", "measured quantiles, standard deviations")
    right.legend(loc="upper left", fontsize=12, frameon=False)
    figure.suptitle(f"{name}: eta {eta:g}, sigma {sigma:g}", x=0.02, ha="left", fontsize=16, color=figures.INK)
    return figure


def _variance(axes: Axes, mean: Tensor, variance: Tensor, eta: float, sigma: float) -> None:
    axes.plot(mean.numpy(), variance.numpy(), "o", color=figures.POINT, markersize=6, label="measured")
    ends = [sigma**2, _LEVELS / eta + sigma**2]
    axes.plot([0, _LEVELS], ends, color=figures.LINE, linewidth=2, label="g / eta + sigma²", zorder=1)
    axes.set(xlim=(0, _LEVELS), ylim=(0, 1.15 * max(float(variance.max()), ends[1])))
    figures.style(axes, "mean g, grey levels", "variance, grey levels²")
    axes.legend(loc="upper left", fontsize=12, frameon=False)


def _quantiles(axes: Axes, residual: Tensor, grey: float, eta: float, sigma: float, color: str) -> float:
    """Quantiles at one grey value: the 12 extremes on each side, and 80 between.

    Returns:
        The farthest from 0 that something is drawn, standard deviations.
    """
    deviation = math.sqrt(grey / eta + sigma**2)
    sample = (residual / deviation).sort().values
    count = len(sample)
    ranks = torch.cat([torch.arange(12), torch.linspace(12, count - 13, 80).long(), torch.arange(count - 12, count)])
    model = model_quantiles(grey, eta, sigma, (ranks.double() + 0.5) / count).numpy()
    measured = sample[ranks].numpy()
    low, high = (model_quantiles(grey, eta, sigma, end).numpy() for end in _band(ranks, count))
    axes.fill_between(model, low, high, color=color, alpha=0.2, linewidth=0, zorder=0)
    axes.plot(model, measured, "o", color=color, markersize=4, label=f"grey level {grey:.0f}, 99 % band")
    return float(max(abs(values).max() for values in (model, measured, low, high)))


def _band(ranks: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Probabilities between which values of these ranks (from 0) of a sample are: quantiles of a beta distribution."""
    beta = scipy_stats().beta(ranks.numpy() + 1, count - ranks.numpy())
    low, high = (beta.ppf(chance) for chance in ((1 - _CHANCE) / 2, (1 + _CHANCE) / 2))
    return torch.from_numpy(low), torch.from_numpy(high)


def model_quantiles(grey: float, eta: float, sigma: float, probabilities: Tensor) -> Tensor:
    """Quantiles of Poisson(eta g) / eta + N(0, sigma^2), in its standard deviations from its mean.

    From the distribution on a grid of 4000 values.

    Args:
        grey: g, grey levels.
        eta, sigma: photons per grey level, grey levels.
        probabilities: any shape, in (0, 1).

    Returns:
        float64 of the same shape.
    """
    import numpy as np

    stats = scipy_stats()
    rate, spread = eta * grey, max(eta * sigma, 1e-3)
    k = np.arange(stats.poisson.ppf(1e-10, rate), stats.poisson.isf(1e-10, rate) + 1)
    grid = np.linspace(k[0] - 7 * spread, k[-1] + 7 * spread, 4000)
    cdf = (stats.poisson.pmf(k, rate) * stats.norm.cdf((grid[:, None] - k) / spread)).sum(1)
    values = np.interp(probabilities.numpy(), cdf, grid)
    return torch.from_numpy((values - rate) / math.sqrt(rate + spread**2))
