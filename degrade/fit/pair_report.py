"""The picture of a pair's fit: both images, what the fit makes, and what it leaves over."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from degrade import figures
from degrade.fit.pair import PairFit

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LEVELS = 10
_MOST_ROWS = 32


def plot_pair_fit(fit: PairFit) -> Figure:
    """Plot a fit, 1800 x 1000 pixels: `figures.to_pixels` makes an image of it.

    Residuals are of grey, degraded less fitted: red where the real image is brighter.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed.
    """
    figure = figures.new_figure(1800, 1000)
    grid = figure.add_gridspec(2, 4, width_ratios=(1, 1, 1, 1.15))
    _show(figure.add_subplot(grid[0, 0]), "clean", fit.clean)
    _show(figure.add_subplot(grid[0, 1]), "degraded", fit.degraded)
    _show(figure.add_subplot(grid[0, 2]), "fitted", fit.fitted)
    change, left = (_grey((fit.degraded - x) * fit.compared) for x in (fit.clean, fit.fitted))
    most = max(float(change.abs().max()), 1.0)
    _difference(figure, figure.add_subplot(grid[1, 0]), "degraded - clean, grey levels", change, most)
    _difference(figure, figure.add_subplot(grid[1, 1]), "degraded - fitted, same scale", left, most)
    _difference(figure, figure.add_subplot(grid[1, 2]), f"the same, to {_LEVELS} grey levels", left, _LEVELS)
    _table(figure.add_subplot(grid[:, 3]), fit)
    figure.suptitle(
        f"{fit.recipe.name}   {100 * fit.explained:.1f} % of the change explained   "
        f"residual {fit.grey_levels:.2f} of {fit.change:.1f} grey levels",
        x=0.02,
        ha="left",
        fontsize=15,
        color=figures.INK,
    )
    return figure


def _grey(difference: Tensor) -> Tensor:
    return 255 * difference.mean(1)[0]


def _show(axes: Axes, title: str, image: Tensor) -> None:
    picture = image[0].expand(3, -1, -1).permute(1, 2, 0).clamp(0, 1)
    axes.imshow(picture.numpy(), interpolation="antialiased")
    _bare(axes, title)


def _difference(figure: Figure, axes: Axes, title: str, difference: Tensor, most: float) -> None:
    drawn: Any = axes.imshow(difference.numpy(), cmap="RdBu_r", vmin=-most, vmax=most, interpolation="antialiased")
    figure.colorbar(drawn, ax=axes, shrink=0.7)
    _bare(axes, title)


def _bare(axes: Axes, title: str) -> None:
    axes.set_title(title, fontsize=12, color=figures.FAINT)
    axes.set_axis_off()


def _table(axes: Axes, fit: PairFit) -> None:
    axes.set_axis_off()
    lines = [f"{'':18}{'value':>10}{'error':>10}"]
    for one in fit.quantities[:_MOST_ROWS]:
        shown = f"{one.error:10.2g}" if one.identified else f"{'?':>10}"
        lines.append(f"{one.name:18}{one.value:10.4g}{shown}")
    if "spot_count" in fit.parameters:
        lines.append(f"{'spots':18}{int(torch.as_tensor(fit.parameters['spot_count'][0])):10}")
    axes.text(
        0.02,
        0.98,
        "\n".join(lines),
        family="monospace",
        fontsize=12,
        va="top",
        color=figures.INK,
        transform=axes.transAxes,
    )
    axes.set_title("?: the pair does not tell", fontsize=12, color=figures.FAINT)
