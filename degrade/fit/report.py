"""The picture of a recipe fit: real poor images, stock and fitted ones; ranges before and after; what still differs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from degrade import figures
from degrade.fit.recipe import Number, RecipeFit
from degrade.fit.simulate import set_keys

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS = 8
_MOST_FEATURES = 14


def plot_recipe_fit(fit: RecipeFit) -> Figure:
    """Plot a fit, 1600 x 1800 pixels: `figures.to_pixels` makes an image of it.

    All images are kept-out ones. Ranges are drawn in units of the starting range, from its low end (0) to its high end
    (1); faint where the images say little about them.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed.
    """
    figure = figures.new_figure(1600, 1800)
    grid = figure.add_gridspec(2, 2, height_ratios=(3 * 1600 / _ACROSS / 1.15, 1100), width_ratios=(1, 1))
    _sheet(figure.add_subplot(grid[0, :]), fit)
    _ranges(figure.add_subplot(grid[1, 0]), fit.numbers)
    _features(figure.add_subplot(grid[1, 1]), fit)
    figure.suptitle(_title(fit), x=0.02, ha="left", fontsize=15, color=figures.INK)
    return figure


def _title(fit: RecipeFit) -> str:
    good, poor = len(fit.kept_out[0]), len(fit.kept_out[1])
    parts = [
        f"{name}: AUC {found.auc:.2f}, energy distance {found.energy:.2f} (p {found.p_value:.3f})"
        for name, found in (("start", fit.before), ("fitted", fit.after))
    ]
    return f"{fit.start.name}   {parts[0]}   {parts[1]}\n{poor} real and {good} degraded images, kept out of the fit"


def _sheet(axes: Axes, fit: RecipeFit) -> None:
    good, poor = fit.kept_out
    size, count = poor.images.shape[-1], min(_ACROSS, len(good), len(poor))
    few, keys = good.take(torch.arange(count)), set_keys(0, count, 1)
    rows = [poor.images[:count]]
    with torch.no_grad():
        rows += [recipe.sample(few.images, keys, few.masks)[0] for recipe in (fit.start, fit.recipe)]
    axes.imshow(_montage(rows), interpolation="antialiased")
    axes.set_yticks([(row + 0.5) * size for row in range(3)], ["real", "start", "fitted"], fontsize=13)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _montage(rows: list[Tensor]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    picture = torch.cat([torch.cat(list(row.expand(-1, 3, -1, -1)), dim=2) for row in rows], dim=1)
    return picture.permute(1, 2, 0).float().clamp(0, 1).numpy()


def _ranges(axes: Axes, numbers: tuple[Number, ...]) -> None:
    figures.style(axes, "in units of the range that the fit began with", "")
    rows = _rows(numbers)
    for at, (_, low, high) in enumerate(rows):
        width = high.before - low.before if high.before > low.before else 1.0
        origin = low.before if high is not low else 0.0
        alpha = 1.0 if low.identified or high.identified else 0.3

        def place(value: float, origin: float = origin, width: float = width) -> float:
            return float(np.clip((value - origin) / width, -1.5, 2.5))

        axes.plot([place(low.before), place(high.before)], [at - 0.18] * 2, color=figures.LEFT_OUT, linewidth=4)
        axes.plot([place(low.after), place(high.after)], [at + 0.12] * 2, color=figures.LINE, linewidth=4, alpha=alpha)
        for end in {id(low): low, id(high): high}.values():
            axes.plot([place(end.low), place(end.high)], [at + 0.32] * 2, color=figures.POINT, linewidth=1, alpha=alpha)
            axes.plot(place(end.after), at + 0.12, "|", color=figures.LINE, markersize=9, alpha=alpha)
            axes.plot(place(end.before), at - 0.18, "|", color=figures.LEFT_OUT, markersize=9)
    axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    axes.set_ylim(len(rows) - 0.4, -0.8)
    axes.set_title("grey: before; red: fitted; thin: 90 % of each end", loc="left", fontsize=12, color=figures.FAINT)


def _rows(numbers: tuple[Number, ...]) -> list[tuple[str, Number, Number]]:
    rows, by_label = [], {number.label: number for number in numbers}
    for label, number in by_label.items():
        name, _, end = label.partition(".")
        if end != "high":
            rows.append((name, number, by_label.get(f"{name}.high", number)))
    return rows


def _features(axes: Axes, fit: RecipeFit) -> None:
    figures.style(axes, "distance in spreads of the real images", "")
    after = {difference.feature.name: difference for difference in fit.after.differences}
    before = {difference.feature.name: difference for difference in fit.before.differences}
    names = sorted(before, key=lambda name: -max(before[name].distance, after[name].distance))[:_MOST_FEATURES]
    places = np.arange(len(names))
    axes.barh(places - 0.18, [before[name].distance for name in names], 0.34, color=figures.LEFT_OUT, label="start")
    axes.barh(places + 0.18, [after[name].distance for name in names], 0.34, color=figures.LINE, label="fitted")
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=12, loc="lower right")
    axes.set_title("features that differ most", loc="left", fontsize=12, color=figures.FAINT)
