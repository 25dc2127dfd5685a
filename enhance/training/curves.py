"""curves.png: losses, and PSNR on images kept out, by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from degrade import figures
from degrade.images import image_io

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = "curves.png"
_MOST_LOSSES = 8
_COLORS = (figures.LINE, figures.POINT, figures.SECOND, "#3c8c50", "#b4781e", "#508ca0", "#8c5a46", "#696969")


def draw(lines: Sequence[dict[str, Any]], file: Path) -> None:
    """Draw the lines of a log.

    Args:
        lines: from `enhance.training.log.read`, at least one validation among them.
        file: to write.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed.
    """
    figure = figures.new_figure(1400, 560)
    left, right = figure.subplots(1, 2)
    _losses(left, [line for line in lines if "losses" in line])
    _psnr(right, [line for line in lines if "validation" in line])
    file.parent.mkdir(parents=True, exist_ok=True)
    image_io.write(file, figures.to_pixels(figure))


def _losses(axes: Axes, lines: list[dict[str, Any]]) -> None:
    figures.style(axes, "step", "loss, mean since the point before")
    names = list(lines[-1]["losses"])[:_MOST_LOSSES] if lines else []
    positive = True
    for name, color in zip(names, _COLORS, strict=False):
        points = [(line["step"], line["losses"][name]) for line in lines if line["losses"].get(name) is not None]
        positive = positive and all(value > 0 for _, value in points)
        marker = "." if len(points) < 9 else ""
        axes.plot(*zip(*points, strict=True), color=color, linewidth=1.6, label=name, marker=marker)
    if names:
        axes.set_yscale("log" if positive else "linear")
        axes.legend(fontsize=11, frameon=False)


def _psnr(axes: Axes, lines: list[dict[str, Any]]) -> None:
    figures.style(axes, "step", "PSNR of images kept out, dB")
    points = [(line["step"], line["validation"]["psnr"]) for line in lines if line["validation"]["psnr"] is not None]
    if points:
        line: dict[str, Any] = {"color": figures.LINE, "linewidth": 2, "marker": "o", "markersize": 4}
        axes.plot(*zip(*points, strict=True), **line, label="enhanced")
    degraded = lines[-1]["validation"]["degraded_psnr"]
    if degraded is not None:
        axes.axhline(degraded, color=figures.FAINT, linestyle="--", linewidth=1.4, label="degraded")
    if points or degraded is not None:
        axes.legend(fontsize=11, frameon=False, loc="lower right")
