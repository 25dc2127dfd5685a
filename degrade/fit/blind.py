"""Estimate noise from single images, by the highest frequencies of smooth patches."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.fit.clipping import Array, Ends
from degrade.fit.grey import GreyValues
from degrade.fit.line import Bins, NoiseFit, empty_fit, fit_bins

_SIDE = 8  # of a patch
_MOST_BINS = 32
_LEAST_PATCHES = 24  # in a bin
_LEAST_SMOOTH = 300  # in all
_MOST_CLIPPED = 0.2
_SMOOTH = 1.6  # middle over high frequencies; 1 for white noise alone, with a standard deviation of 0.4
_TRIM = (0.3, 2.2)  # high frequencies over their bin's median: chi-square with 36 degrees of freedom lies within
_FLOOR = 0.01  # of the errors: what structure does to the slope
_MEDIAN = (1 - 2 / (9 * 36)) ** 3  # of chi-square with 36 degrees of freedom, over its mean
_NOT_WHITE = 1.25  # lower over upper high frequencies, from which noise is not white
_HARDLY_WHITE = 1.1


def from_images(images: Iterable[Tensor], levels: float = 255.0) -> NoiseFit:
    """Estimate eta and sigma from images of any scenes, all with the same noise.

    Each image is cut into patches of 8 x 8 pixels. White noise has the same power in all cosine frequencies of a
    patch; structure has most of its power in the low and middle ones. So patches are smooth if their middle frequencies
    have no more power than noise. Their high frequencies measure its variance; they are not used for the choice, which
    therefore does not bias it. Bins of patches with similar means give points, `fit_bins` the line through them.

    Args:
        images: (B, 1, H, W), or any iterable of (1, H, W) or (H, W), read one by one: uint8, uint16, or float with
            full white at 1. Floats may leave [0, 1]: then they are not clipped on that side. Three equal channels
            count as grey.
        levels: grey value of full white that eta and sigma refer to.

    Raises:
        ValueError: no images, an image with colors or of another shape, NaN or infinite pixels, levels not positive.

    >>> scene = torch.linspace(40, 200, 512).expand(1, 1, 512, 512)
    >>> generator = torch.Generator().manual_seed(0)
    >>> seen = torch.poisson(scene * 0.8, generator) / 0.8 + 6 * torch.randn(scene.shape, generator=generator)
    >>> fit = from_images(seen / 255)
    >>> abs(fit.eta - 0.8) < 0.05, abs(fit.sigma - 6) < 1
    (True, True)
    """
    values = GreyValues(levels)
    patches = _Patches.join([_cut(grey) for grey in values.read(images)])
    bins, smooth = _bin(patches, values.ends, values.rounding)
    empty = empty_fit(bins, "images", levels)
    flat = float((patches.greatest == patches.least).mean()) if len(patches.mean) else 0.0
    if flat > 0.5:
        return empty.refused(f"{flat:.0%} of the image has no noise at all: it is clipped, or was painted over")
    if smooth.sum() < _LEAST_SMOOTH:
        return empty.refused(
            f"too few smooth patches: {smooth.sum()} of {len(smooth)}, {_LEAST_SMOOTH} are needed; the image is too "
            "small or too full of detail, or its noise is not white (smoothed, made smaller or compressed afterwards)"
        )
    lower, upper = float(patches.lower[smooth].mean()), float(patches.upper[smooth].mean())
    texture = min(max(0.0, lower - upper), 2 * (levels / 255) ** 2)
    fit = fit_bins(empty, values.ends, most_clipped=_MOST_CLIPPED, texture=texture, floor=_FLOOR, blur=1 / _SIDE)
    return _judged(fit, values, lower / upper, flat)


def _judged(fit: NoiseFit, values: GreyValues, ratio: float, flat: float) -> NoiseFit:
    if not fit.reliable:
        return fit
    reasons = []
    if not 1 / _NOT_WHITE < ratio < _NOT_WHITE:
        done = "smoothed, made smaller or compressed" if ratio > 1 else "sharpened"
        reasons.append(
            f"the noise is not white (its lower frequencies are {ratio:.2f} times as strong as its higher ones): the "
            f"image was {done} after the noise, and the variance is not the detector's"
        )
    stretched = values.stretched(fit.eta, fit.sigma)
    if stretched:
        reasons.append(stretched)
    if reasons:
        return fit.refused(*reasons)
    warnings = list(fit.warnings)
    if ratio > _HARDLY_WHITE:
        warnings.append(
            f"the noise is not quite white (lower frequencies {ratio:.2f} times as strong as higher ones): either "
            "fine texture counts as noise (sigma too large) or the image was smoothed (both variances too small)"
        )
    if flat > 0.1:
        warnings.append(f"{flat:.0%} of the image is clipped and was left out")
    return replace(fit, warnings=tuple(warnings))


@dataclass(frozen=True)
class _Patches:
    """Mean, smallest and largest value of each patch, and mean power of its middle, lower high and upper high
    frequencies: (P,) each, in grey levels and grey levels squared."""

    mean: Array
    least: Array
    greatest: Array
    middle: Array
    lower: Array
    upper: Array

    @property
    def high(self) -> Array:
        """Mean power of all 36 high frequencies: 15 lower and 21 upper ones."""
        return np.asarray((15 * self.lower + 21 * self.upper) / 36)

    @staticmethod
    def join(parts: Sequence[_Patches]) -> _Patches:
        """Concatenate the patches of several images."""
        return _Patches(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Patches)))


def _cosines() -> tuple[Tensor, Array]:
    """The cosine functions of a patch, (64, 64) with one per column, and each one's order down plus order across."""
    order = np.arange(_SIDE)
    cosine = np.cos(np.pi * (order[None] + 0.5) * order[:, None] / _SIDE) * math.sqrt(2 / _SIDE)
    cosine[0] /= math.sqrt(2)
    return torch.from_numpy(np.kron(cosine, cosine).T.copy()), np.add.outer(order, order).ravel()


def _cut(grey: Array) -> _Patches:
    """Split an image (H, W) into patches; the rest at the right and the bottom is not used."""
    rows, columns = (side // _SIDE for side in grey.shape)
    patches = grey[: rows * _SIDE, : columns * _SIDE].reshape(rows, _SIDE, columns, _SIDE).swapaxes(1, 2)
    pixels = patches.reshape(-1, _SIDE * _SIDE)
    cosines, order = _cosines()
    power = (torch.from_numpy(pixels) @ cosines).square().numpy()
    bands = [(order >= 2) & (order <= 5), (order >= 7) & (order <= 8), order >= 9]
    return _Patches(pixels.mean(1), pixels.min(1), pixels.max(1), *(power[:, band].mean(1) for band in bands))


def _bin(patches: _Patches, ends: Ends, rounding: float) -> tuple[Bins, NDArray[np.bool_]]:
    """Bins of smooth patches, and which patches are smooth."""
    high = patches.high
    chosen = np.zeros(len(high), dtype=bool)
    touched = (patches.least <= ends.low) | (patches.greatest >= ends.high)
    varied = patches.greatest > patches.least
    points = []
    for members in _by_mean(patches.mean, varied):
        if len(members) < _LEAST_PATCHES:
            continue
        kept = members[_smooth(patches.middle[members], high[members])]
        if len(kept) < _LEAST_PATCHES:
            continue
        chosen[kept] = True
        share = 1 - (1 - touched[kept].mean()) ** (1 / _SIDE**2)  # of pixels, from that of patches with any
        error = high[kept].std() / math.sqrt(len(kept))
        points.append((patches.mean[kept].mean(), high[kept].mean() - rounding, error, len(kept), share))
    return Bins.of(points), chosen


def _by_mean(mean: Array, varied: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Indices of patches that are not constant, in bins of equal width from dark to bright."""
    index = np.flatnonzero(varied)
    if not len(index):
        return []
    bins = min(max(len(index) // (2 * _LEAST_PATCHES), 6), _MOST_BINS)
    low, high = np.quantile(mean[index], [0.001, 0.999])
    place = np.clip((mean[index] - low) / max(high - low, 1e-9) * bins, 0, bins - 1).astype(np.int64)
    return [index[place == number] for number in range(bins)]


def _smooth(middle: Array, high: Array) -> NDArray[np.int64]:
    """Indices of smooth patches of a bin. The noise level is estimated from the smoothest fifth, then from all patches
    that this level accepts; outliers in their high frequencies are left out."""
    kept = np.argsort(middle, kind="stable")[: max(8, len(middle) // 5)]
    for _ in range(4):
        level = float(np.median(high[kept])) / _MEDIAN
        inside = (high > _TRIM[0] * level) & (high < _TRIM[1] * level)
        kept = np.flatnonzero((middle <= _SMOOTH * level) & inside)
        if not len(kept):
            break
    return kept
