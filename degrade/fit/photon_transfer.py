"""Estimate noise from frames of one scene: photon transfer curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from torch import Tensor

from degrade.fit.clipping import Array, Ends
from degrade.fit.grey import GreyValues
from degrade.fit.line import Bins, NoiseFit, empty_fit, fit_bins

_BINS = 48
_LEAST_PIXELS = 200  # in a bin
_MOST_CLIPPED = 0.05
_OUTLIER = 30.0  # a pixel's variance over its bin's mean: a defect, or something that moved
_BLOCK = 8
_RESTLESS, _DIFFERENT = 1.25, 1.6  # variance of the blocks' differences between frames, over what noise makes of it
_FLOOR = 0.002


def from_frames(frames: Tensor, levels: float = 255.0) -> NoiseFit:
    """Estimate eta and sigma from frames of one scene at one exposure.

    The variance of a pixel over the frames does not depend on the scene. Pixels are binned by the mean of their eight
    neighbors, whose noise is independent of theirs, so that means and variances of a bin lie on the line without bias.
    (Binned by their own mean, bright pixels would be those with positive noise.) `fit_bins` fits the line.

    Args:
        frames: (N, 1, H, W) with N at least 2: uint8, uint16, or float with full white at 1. Floats may leave [0, 1]:
            then they are not clipped on that side.
        levels: grey value of full white that eta and sigma refer to.

    Raises:
        ValueError: fewer than 2 frames, another shape, NaN or infinite pixels, levels not positive.

    >>> import torch
    >>> scene = torch.linspace(40, 200, 256).expand(2, 1, 256, 256)
    >>> generator = torch.Generator().manual_seed(0)
    >>> seen = torch.poisson(scene * 0.8, generator) / 0.8 + 6 * torch.randn(scene.shape, generator=generator)
    >>> fit = from_frames(seen / 255)
    >>> abs(fit.eta - 0.8) < 0.05, abs(fit.sigma - 6) < 1
    (True, True)
    """
    if frames.ndim != 4 or frames.shape[1] != 1 or len(frames) < 2 or min(frames.shape[-2:]) < 3:
        raise ValueError(f"frames must be (N, 1, H, W), N at least 2, H and W 3; got shape {tuple(frames.shape)}")
    values = GreyValues(levels)
    stack = np.stack(list(values.read(frames)))
    bins = _bin(stack, values.ends, values.rounding)
    empty = empty_fit(bins, "frames", levels)
    if not stack.std(axis=0).any():
        return empty.refused("the frames are identical: nothing differs between them but noise that is not there")
    restless = _restlessness(stack)
    told = (
        f"over blocks of {_BLOCK} x {_BLOCK} pixels the frames vary {restless:.1f} times as much as noise does: the "
        "exposure changed or something moved"
    )
    if restless > _DIFFERENT:
        return empty.refused(told)
    fit = fit_bins(empty, values.ends, most_clipped=_MOST_CLIPPED, floor=_FLOOR)
    if not fit.reliable:
        return fit
    stretched = values.stretched(fit.eta, fit.sigma)
    if stretched:
        return fit.refused(stretched)
    return replace(fit, warnings=(*fit.warnings, told)) if restless > _RESTLESS else fit


def _bin(stack: Array, ends: Ends, rounding: float) -> Bins:
    """Bins of pixels by the mean of their neighbors."""
    mean = stack.mean(axis=0)
    around = _neighbours(mean).ravel()
    variance = stack.var(axis=0, ddof=1)[1:-1, 1:-1].ravel()
    touched = ((stack <= ends.low) | (stack >= ends.high)).mean(axis=0)[1:-1, 1:-1].ravel()
    own = mean[1:-1, 1:-1].ravel()
    low, high = np.quantile(around, [0.0005, 0.9995])
    place = np.clip((around - low) / max(high - low, 1e-9) * _BINS, 0, _BINS - 1).astype(np.int64)
    for _ in range(2):  # the second time without outliers
        count = np.bincount(place, minlength=_BINS)
        level = np.bincount(place, variance, minlength=_BINS) / np.maximum(count, 1)
        kept = variance <= _OUTLIER * np.maximum(level[place], 1e-9)
        own, variance, touched, place = (x[kept] for x in (own, variance, touched, place))
    count = np.bincount(place, minlength=_BINS)
    filled = np.flatnonzero(count >= _LEAST_PIXELS)

    def average(quantity: Array) -> Array:
        return np.asarray(np.bincount(place, quantity, minlength=_BINS)[filled] / count[filled])

    level = average(variance)
    error = np.sqrt(np.maximum(average(variance**2) - level**2, 0) / count[filled])
    points = zip(average(own), level - rounding, error, count[filled], average(touched), strict=True)
    return Bins.of(list(points))


def _neighbours(image: Array) -> Array:
    """The mean of each inner pixel's eight neighbours, (H - 2, W - 2)."""
    rows = image[:-2] + image[1:-1] + image[2:]
    return np.asarray((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] - image[1:-1, 1:-1]) / 8)


def _restlessness(stack: Array) -> float:
    """The variance of blocks' means over the frames, over what independent pixels would give: 1 for white noise."""
    count, (height, width) = len(stack), (side // _BLOCK for side in stack.shape[1:])
    if not height or not width:
        return 1.0
    inside = stack[:, : height * _BLOCK, : width * _BLOCK]
    blocks = inside.reshape(count, height, _BLOCK, width, _BLOCK).mean((2, 4))
    return float(blocks.var(axis=0, ddof=1).mean() / inside.var(axis=0, ddof=1).mean() * _BLOCK**2)
