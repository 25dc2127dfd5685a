"""Variance against mean, and the residuals' distribution against the model's, as one picture."""

from __future__ import annotations

import math

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from degrade.rng.keyed import make_keys
from degrade.testing.checks import NoiseFunction

from .fit_plot import ticks

_SIZE = (1400, 640)
_LEFT, _RIGHT = (110, 90, 660, 540), (800, 90, 1350, 540)  # the two boxes: left, top, right, bottom
_FINE = 3  # drawn so much larger, then made smaller: smooth edges
_PAPER, _INK, _GRID, _MODEL, _FOUND = (255, 255, 255), (40, 40, 40), (226, 226, 224), (200, 70, 40), (35, 85, 145)
_LEVELS = 255.0
_GREYS = 24  # grey values at which the variance is measured
_SIDE = 160


def draw(function: NoiseFunction, eta: float, sigma: float, name: str) -> Image.Image:
    """The picture for a noise function that should be Poisson(eta g) / eta + N(0, sigma^2)."""
    canvas = Image.new("RGB", (_SIZE[0] * _FINE, _SIZE[1] * _FINE), _PAPER)
    pen = ImageDraw.Draw(canvas)
    greys = torch.linspace(0.02, 0.98, _GREYS)
    image = greys.view(-1, 1, 1, 1).expand(-1, 1, _SIDE, _SIDE).contiguous()
    noisy = function(image, make_keys(0, _GREYS)).detach().to("cpu", torch.float64) * _LEVELS
    expected = (greys.double() * _LEVELS).view(-1, 1, 1, 1)
    variance = ((noisy - expected) ** 2).mean(dim=(1, 2, 3))
    _text(pen, (_LEFT[0], 24), f"{name}: eta {eta:g}, sigma {sigma:g}", 22)
    _variance(pen, expected.flatten(), variance, eta, sigma)
    standard = (noisy - expected) / (expected / eta + sigma**2).sqrt()
    _residuals(pen, standard, eta, sigma, expected)
    return canvas.resize(_SIZE, Image.Resampling.LANCZOS)


def _variance(pen: ImageDraw.ImageDraw, mean: Tensor, variance: Tensor, eta: float, sigma: float) -> None:
    top = 1.15 * max(float(variance.max()), _LEVELS / eta + sigma**2)
    labels = ("mean, grey levels", "variance, grey levels squared")
    _axes(pen, _LEFT, labels, ([(x, x / _LEVELS) for x in ticks(_LEVELS)], [(y, y / top) for y in ticks(top)]))

    def place(x: float, y: float) -> tuple[float, float]:
        return _place(_LEFT, x / _LEVELS, y / top)

    _line(pen, [place(0, sigma**2), place(_LEVELS, _LEVELS / eta + sigma**2)], _MODEL)
    for x, y in zip(mean.tolist(), variance.tolist(), strict=True):
        _dot(pen, place(x, y), _FOUND)
    _text(pen, (_LEFT[0] + 14, _LEFT[1] + 8), "points: measured", 16, _FOUND)
    _text(pen, (_LEFT[0] + 14, _LEFT[1] + 30), "line: g / eta + sigma^2", 16, _MODEL)


def _residuals(pen: ImageDraw.ImageDraw, standard: Tensor, eta: float, sigma: float, expected: Tensor) -> None:
    """Quantiles of the residual in the model's standard deviations, at a dark and at a bright grey value."""
    span = 5.0
    labels = ("the model's quantiles, standard deviations", "measured quantiles")
    marks = [(z, (z + span) / (2 * span)) for z in (-4.0, -2.0, 0.0, 2.0, 4.0)]
    _axes(pen, _RIGHT, labels, (marks, marks))

    def place(x: float, y: float) -> tuple[float, float]:
        limit = span * 1.02
        return _place(_RIGHT, (x + span) / (2 * span), (max(-limit, min(limit, y)) + span) / (2 * span))

    _line(pen, [place(-span, -span), place(span, span)], _MODEL)
    for row, colour in ((1, (150, 60, 130)), (len(standard) - 3, _FOUND)):
        values = standard[row].flatten().sort().values
        count = len(values)
        ranks = torch.cat(
            [torch.arange(12), torch.linspace(12, count - 13, 80).long(), torch.arange(count - 12, count)]
        )
        reference = _model(float(expected[row]), eta, sigma, (ranks.double() + 0.5) / count)
        for x, y in zip(reference, values[ranks].tolist(), strict=True):
            _dot(pen, place(x, y), colour, 2.5)
        height = 8 if row == 1 else 30
        _text(pen, (_RIGHT[0] + 14, _RIGHT[1] + height), f"grey {float(expected[row]):.0f}", 16, colour)


def _model(grey: float, eta: float, sigma: float, chances: Tensor) -> list[float]:
    """Quantiles of the standardised model at these chances, from its distribution on a fine grid."""
    import numpy as np
    from scipy import stats

    rate, spread = eta * grey, max(eta * sigma, 1e-3)
    deviation = math.sqrt(rate + spread**2)
    k = np.arange(stats.poisson.ppf(1e-10, rate), stats.poisson.isf(1e-10, rate) + 1)
    grid = np.linspace(k[0] - 7 * spread, k[-1] + 7 * spread, 4000)
    cdf = (stats.poisson.pmf(k, rate) * stats.norm.cdf((grid[:, None] - k) / spread)).sum(1)
    quantiles: list[float] = ((np.interp(chances.numpy(), cdf, grid) - rate) / deviation).tolist()
    return quantiles


Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]
Marks = list[tuple[float, float]]


def _place(box: Box, x: float, y: float) -> tuple[float, float]:
    return box[0] + (box[2] - box[0]) * x, box[3] - (box[3] - box[1]) * y


def _axes(pen: ImageDraw.ImageDraw, box: Box, labels: tuple[str, str], marks: tuple[Marks, Marks]) -> None:
    for value, part in marks[0]:
        x, bottom = _place(box, part, 0)
        _line(pen, [(x, bottom), (x, box[1])], _GRID, 1)
        _text(pen, (x, bottom + 10), f"{value:g}", 15, anchor="ma")
    for value, part in marks[1]:
        left, y = _place(box, 0, part)
        _line(pen, [(left, y), (box[2], y)], _GRID, 1)
        _text(pen, (left - 10, y), f"{value:g}", 15, anchor="rm")
    _line(pen, [(box[0], box[1]), (box[0], box[3]), (box[2], box[3])], _INK, 1.5)
    _text(pen, ((box[0] + box[2]) / 2, box[3] + 38), labels[0], 17, anchor="ma")
    _text(pen, (box[0], box[1] - 14), labels[1], 17, anchor="ls")


def _line(pen: ImageDraw.ImageDraw, points: list[tuple[float, float]], colour: Colour, width: float = 2.5) -> None:
    pen.line([(x * _FINE, y * _FINE) for x, y in points], colour, round(width * _FINE))


def _dot(pen: ImageDraw.ImageDraw, at: tuple[float, float], colour: Colour, radius: float = 4) -> None:
    x, y, r = at[0] * _FINE, at[1] * _FINE, radius * _FINE
    pen.ellipse((x - r, y - r, x + r, y + r), fill=colour)


def _text(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, colour: Colour = _INK, anchor: str = "la"
) -> None:
    font = ImageFont.load_default(size=size * _FINE)
    pen.text((at[0] * _FINE, at[1] * _FINE), text, colour, font, anchor=anchor)
