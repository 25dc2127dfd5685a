"""Matplotlib figures without pyplot: no global state, no display. Needs `pip install "degrade-enhance[plots]"`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, FAINT, GRID = "#1e1e1e", "#696969", "#e4e4e2"
LINE, POINT, SECOND, LEFT_OUT, BAND = "#c84628", "#235591", "#963c82", "#b2b2b0", "#fae4dc"
_DPI = 100


def new_figure(width: int, height: int) -> Figure:
    """An empty white figure.

    Args:
        width, height: of its picture, pixels.

    Raises:
        ModuleNotFoundError: Matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError('plots need Matplotlib: pip install "degrade-enhance[plots]"') from error
    margins = ConstrainedLayoutEngine(w_pad=0.2, h_pad=0.15, wspace=0.04)
    return Figure((width / _DPI, height / _DPI), dpi=_DPI, facecolor="white", layout=margins)


def style(axes: Axes, x_label: str, y_label: str) -> None:
    """Label axes, and draw a light grid and no frame at the top and the right."""
    axes.set_xlabel(x_label, fontsize=13, color=INK, labelpad=10)
    axes.set_ylabel(y_label, fontsize=13, color=INK, labelpad=10)
    axes.tick_params(labelsize=12, color=FAINT, labelcolor=FAINT)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def to_pixels(figure: Figure) -> Tensor:
    """The picture of a figure: (3, H, W) uint8."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    rgba = torch.frombuffer(bytearray(canvas.buffer_rgba()), dtype=torch.uint8)  # type: ignore[no-untyped-call]
    width, height = canvas.get_width_height()
    return rgba.view(height, width, 4)[..., :3].permute(2, 0, 1).contiguous()
