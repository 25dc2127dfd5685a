"""Plot of a noise fit: variance against mean, with errors, the fitted line, and the bins that were left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from degrade import figures
from degrade.fit.clipping import Array
from degrade.fit.line import NoiseFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_fit(fit: NoiseFit, from_what: str) -> Figure:
    """Plot a fit, 1200 x 800 pixels: `figures.to_pixels` makes an image of it, `savefig` a file.

    Args:
        fit: from `from_frames` or `from_images`; one without numbers shows its bins alone.
        from_what: what was measured, such as "12 images", for the title.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed.
    """
    figure = figures.new_figure(1200, 800)
    axes = figure.add_subplot()
    figures.style(axes, f"mean, grey levels of {fit.levels:g}", "variance, grey levels squared")
    axes.set_xlim(0, fit.levels)
    axes.set_ylim(0, _top(fit))
    _bins(axes, fit)
    if fit.reliable:
        grey = np.array([0.0, fit.levels])
        axes.plot(grey, grey / fit.eta + fit.sigma**2, color=figures.LINE, linewidth=2, label="fitted line")
        grey, low, high = _band(fit)
        axes.fill_between(grey, low, high, color=figures.BAND, label="range allowed by the interval of eta", zorder=1)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", fontsize=12, frameon=False)
    figure.suptitle(_title(fit), x=0.02, ha="left", fontsize=16, color=figures.INK)
    axes.set_title(_subtitle(fit, from_what), loc="left", fontsize=12, color=figures.FAINT, pad=14)
    return figure


def _top(fit: NoiseFit) -> float:
    """End of the vertical axis."""
    bins = fit.bins
    shown = bins.variance[bins.used] + 2 * bins.error[bins.used] if bins.used.any() else bins.variance
    most = float(shown.max()) if len(shown) else 0.0
    if fit.reliable and most <= 0:
        most = fit.levels / fit.eta + fit.sigma**2
    return 1.15 * most if most > 0 else 1.0


def _bins(axes: Axes, fit: NoiseFit) -> None:
    """The bins with their 95 % errors, those left out in grey."""
    bins = fit.bins
    kinds = (
        (bins.used, figures.POINT, "used" if fit.reliable else "measured"),
        (~bins.used, figures.LEFT_OUT, "left out: clipped"),
    )
    for chosen, color, label in kinds:
        if chosen.any():
            mean, variance, error = bins.mean[chosen], bins.variance[chosen], 2 * bins.error[chosen]
            axes.errorbar(
                mean, variance, error, fmt="o", color=color, markersize=6, linewidth=1.2, capsize=3, label=label
            )


def _band(fit: NoiseFit) -> tuple[Array, Array, Array]:
    """Grey values, and the lowest and the highest variance there of lines through the center of the bins, as flat and
    as steep as the interval of eta allows."""
    bins = fit.bins
    center = float(np.average(bins.mean[bins.used], weights=1 / bins.error[bins.used] ** 2))
    height = center / fit.eta + fit.sigma**2
    grey = np.array([0.0, center, fit.levels])
    first, second = (height + (grey - center) / eta for eta in fit.eta_interval)
    return grey, np.minimum(first, second), np.maximum(first, second)


def _title(fit: NoiseFit) -> str:
    if not fit.reliable:
        return "no number can be given"
    (low, high), (least, most) = fit.eta_interval, fit.sigma_interval
    return (
        f"eta = {fit.eta:.3g} ({low:.3g} to {high:.3g}) photons per grey level,   "
        f"sigma = {fit.sigma:.3g} ({least:.3g} to {most:.3g}) grey levels"
    )


def _subtitle(fit: NoiseFit, from_what: str) -> str:
    kind = "pixels" if fit.method == "frames" else "smooth patches"
    source = f"{from_what}, {int(fit.bins.count.sum())} {kind}; intervals and bars are 95 %"
    return f"variance = mean / eta + sigma²;  {source}" if fit.reliable else source
