"""Variance against mean as a picture: the points with their errors, the line, and what was left out."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from degrade.fit.noise import NoiseFit

_SIZE = (1200, 800)
_BOX = (120, 120, 1160, 700)  # left, top, right, bottom of the axes
_FINE = 3  # drawn so much larger, then made smaller: smooth edges
_PAPER, _INK, _FAINT, _GRID = (255, 255, 255), (30, 30, 30), (105, 105, 105), (228, 228, 226)
_LINE, _POINT, _OUT, _BAND = (200, 70, 40), (35, 85, 145), (178, 178, 176), (250, 228, 220)


def draw(fit: NoiseFit, from_what: str) -> Image.Image:
    """The picture of a fit, 1200 x 800 pixels; `from_what` is such as "12 images"."""
    return _Plot(fit).draw(from_what)


def ticks(top: float, about: int = 6) -> list[float]:
    """Round numbers from 0 to no more than `top`.

    >>> ticks(255.0)
    [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]
    """
    rough = top / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * min((1, 2, 2.5, 5, 10), key=lambda factor: abs(math.log(factor * power / rough)))
    return [float(f"{step * number:.12g}") for number in range(int(top / step + 1e-9) + 1)]


class _Plot:
    def __init__(self, fit: NoiseFit) -> None:
        self.fit = fit
        bins = fit.bins
        shown = bins.variance[bins.used] + 2 * bins.error[bins.used] if bins.used.any() else bins.variance
        most = float(shown.max()) if len(shown) else 0.0
        if fit.reliable:
            most = max(most, fit.levels / fit.eta + fit.sigma**2) if most <= 0 else most
        self.right = fit.levels
        self.top = 1.15 * most if most > 0 else 1.0
        self.canvas = Image.new("RGB", (_SIZE[0] * _FINE, _SIZE[1] * _FINE), _PAPER)
        self.pen = ImageDraw.Draw(self.canvas)

    def draw(self, from_what: str) -> Image.Image:
        self._grid()
        if self.fit.reliable:
            self._band()
        self._points()
        if self.fit.reliable:
            slope, offset = 1 / self.fit.eta, self.fit.sigma**2
            last = min(self.right, (self.top - offset) / slope)
            self._stroke([(0.0, offset), (last, offset + slope * last)], _LINE, 2.5)
        self._frame()
        self._words(from_what)
        return self.canvas.resize(_SIZE, Image.Resampling.LANCZOS)

    def _place(self, x: float, y: float) -> tuple[float, float]:
        left, top, right, bottom = _BOX
        return (
            _FINE * (left + (right - left) * x / self.right),
            _FINE * (bottom - (bottom - top) * y / self.top),
        )

    def _stroke(self, points: list[tuple[float, float]], colour: tuple[int, int, int], width: float) -> None:
        self.pen.line([self._place(x, y) for x, y in points], colour, round(width * _FINE), joint="curve")

    def _text(self, place: tuple[float, float], text: str, colour: tuple[int, int, int], size: int, at: str) -> None:
        font = ImageFont.load_default(size=size * _FINE)
        self.pen.text((place[0] * _FINE, place[1] * _FINE), text, colour, font, anchor=at)

    def _grid(self) -> None:
        left, _, _, bottom = _BOX
        for value in ticks(self.right):
            self._stroke([(value, 0), (value, self.top)], _GRID, 1)
            self._text((self._place(value, 0)[0] / _FINE, bottom + 10), f"{value:g}", _FAINT, 17, "ma")
        for value in ticks(self.top):
            self._stroke([(0, value), (self.right, value)], _GRID, 1)
            self._text((left - 10, self._place(0, value)[1] / _FINE), f"{value:g}", _FAINT, 17, "rm")

    def _frame(self) -> None:
        self._stroke([(0, self.top), (0, 0), (self.right, 0)], _INK, 1.5)

    def _band(self) -> None:
        """What the intervals allow: lines through the middle of the points, as steep and as flat as eta may be."""
        bins, fit = self.fit.bins, self.fit
        weight = 1 / bins.error[bins.used] ** 2
        centre = float(np.average(bins.mean[bins.used], weights=weight))
        height = centre / fit.eta + fit.sigma**2
        steep, flat = 1 / fit.eta_interval[0], 1 / fit.eta_interval[1]
        corners = [
            (0.0, height - steep * centre),
            (0.0, height - flat * centre),
            (centre, height),
            (self.right, height + flat * (self.right - centre)),
            (self.right, height + steep * (self.right - centre)),
            (centre, height),
        ]
        layer = Image.new("L", self.canvas.size)
        ImageDraw.Draw(layer).polygon([self._place(x, y) for x, y in corners], 255)
        left, top, right, bottom = (_FINE * edge for edge in _BOX)
        inside = Image.new("L", self.canvas.size)
        inside.paste(layer.crop((left, top, right, bottom)), (left, top))
        self.canvas.paste(_BAND, mask=inside)

    def _points(self) -> None:
        bins = self.fit.bins
        for x, y, error, used in zip(bins.mean, bins.variance, bins.error, bins.used, strict=True):
            if not (0 <= x <= self.right and 0 <= y <= self.top):
                continue
            colour = _POINT if used else _OUT
            low, high = max(0.0, y - 2 * error), min(self.top, y + 2 * error)
            self._stroke([(x, low), (x, high)], colour, 1.5)
            for end in (low, high):
                across, down = self._place(x, end)
                self.pen.line([across - 4 * _FINE, down, across + 4 * _FINE, down], colour, round(1.5 * _FINE))
            across, down = self._place(x, y)
            radius = 4.5 * _FINE
            self.pen.ellipse([across - radius, down - radius, across + radius, down + radius], colour)

    def _words(self, from_what: str) -> None:
        fit, (left, top, right, bottom) = self.fit, _BOX
        used = fit.bins.used
        if fit.reliable:
            (low, high), (least, most) = fit.eta_interval, fit.sigma_interval
            title = (
                f"eta = {fit.eta:.3g} ({low:.3g} to {high:.3g}) photons per grey level,   "
                f"sigma = {fit.sigma:.3g} ({least:.3g} to {most:.3g}) grey levels"
            )
        else:
            title = "no number can be given"
        self._text((left, 36), title, _INK, 23, "lm")
        kind = "pixels" if fit.method == "frames" else "smooth patches"
        told = f"{from_what}, {int(fit.bins.count.sum())} {kind}; intervals and bars are 95 %"
        if fit.reliable:
            told = f"variance = mean / eta + sigma^2;  {told}"
        self._text((left, 70), told, _FAINT, 17, "lm")
        marks = [(_POINT, "used" if fit.reliable else "measured")] if used.any() else []
        marks += [(_OUT, "left out: clipped")] if (~used).any() else []
        marks += [(_LINE, "fitted line"), (_BAND, "as eta's interval allows")] if fit.reliable else []
        for number, (colour, meaning) in enumerate(marks):
            across, down = left + 24, top + 24 + 26 * number
            self.pen.rectangle(
                [_FINE * (across - 7), _FINE * (down - 5), _FINE * (across + 7), _FINE * (down + 5)], colour
            )
            self._text((across + 18, down), meaning, _INK, 17, "lm")
        self._text(((left + right) / 2, bottom + 62), f"mean, grey levels of {fit.levels:g}", _INK, 19, "mm")
        self._upright("variance, grey levels squared")

    def _upright(self, text: str) -> None:
        font = ImageFont.load_default(size=19 * _FINE)
        width, height = round(self.pen.textlength(text, font)) + 4, 30 * _FINE
        label = Image.new("RGB", (width, height), _PAPER)
        ImageDraw.Draw(label).text((width / 2, height / 2), text, _INK, font, anchor="mm")
        middle = _FINE * (_BOX[1] + _BOX[3]) // 2
        self.canvas.paste(label.rotate(90, expand=True), (_FINE * 20, middle - width // 2))
