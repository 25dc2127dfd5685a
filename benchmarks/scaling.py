"""Cost against pixels and against the batch: a straight line, and how far the measurements are from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

import degrade
from benchmarks.samples import fundus
from benchmarks.timing import Row, Spread, measure


@dataclass(frozen=True)
class Line:
    """y = intercept + slope x, and how far each y lies above it, as a share of the line's value."""

    intercept: float
    slope: float
    deviations: tuple[float, ...]

    @property
    def largest(self) -> float:
        """The largest deviation, without its sign."""
        return max(abs(share) for share in self.deviations)


def line(x: Sequence[float], y: Sequence[float]) -> Line:
    """The straight line with the least squares of *relative* deviations: small sizes count as much as large ones.

    >>> line([1, 2, 3], [3.0, 5.0, 7.0]).largest < 1e-9
    True
    """
    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    design = np.stack((1 / ys, xs / ys), axis=1)
    (intercept, slope), *_ = np.linalg.lstsq(design, np.ones_like(ys), rcond=None)
    fitted = intercept + slope * xs
    return Line(float(intercept), float(slope), tuple((ys / fitted - 1).tolist()))


def pixels(
    sizes: Sequence[int] = (256, 384, 512, 768, 1024), batch: int = 16, rounds: int = 21, device: str = "cpu"
) -> list[Row]:
    """Cofe-Net, type 111: milliseconds a batch against its megapixels."""
    return _table([(size, batch) for size in sizes], rounds, device, "megapixels")


def batches(
    sizes: Sequence[int] = (4, 8, 16, 32, 64), side: int = 256, rounds: int = 21, device: str = "cpu"
) -> list[Row]:
    """Cofe-Net, type 111: milliseconds a batch against the images in it."""
    return _table([(side, batch) for batch in sizes], rounds, device, "images")


def _table(shapes: Sequence[tuple[int, int]], rounds: int, device: str, unit: str) -> list[Row]:
    d = degrade.recipe("cofe-net", type="111")
    samples = {(side, batch): fundus(batch, side, device) for side, batch in shapes}

    def call(shape: tuple[int, int]) -> None:
        image, mask, keys = samples[shape]
        d(image, keys, mask)

    seconds = measure({shape: partial(call, shape) for shape in shapes}, rounds, device=device)
    amounts = [batch * side**2 / 1e6 if unit == "megapixels" else batch for side, batch in shapes]
    return rows(shapes, amounts, [seconds[shape] * 1e3 for shape in shapes], unit)


def rows(shapes: Sequence[tuple[int, int]], amounts: Sequence[float], ms: Sequence[Spread], unit: str) -> list[Row]:
    """The table of these measurements; its last row has the line and the largest deviation."""
    fit = line(amounts, [spread.median for spread in ms])
    table: list[Row] = [
        {
            "size": side,
            "batch": batch,
            unit: amount,
            "ms": spread,
            "line, ms": fit.intercept + fit.slope * amount,
            "deviation, %": 100 * share,
        }
        for (side, batch), amount, spread, share in zip(shapes, amounts, ms, fit.deviations, strict=True)
    ]
    told = f"{fit.intercept:.3g} + {fit.slope:.3g} x"
    last = {"size": "largest", "batch": None, unit: None, "ms": None, "line, ms": told}
    return [*table, {**last, "deviation, %": 100 * fit.largest}]
