"""Grey values of images: quantization, clipping, and whether they were stretched after the noise."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.fit.clipping import Array, Ends
from degrade.images.image_io import to_float

_SPIKE = 1e-3  # share of the pixels at an extreme value from which they are taken as clipped there
_FEW = 300  # different values, in an image of more than 8 bits
_SAMPLE = 65_536
_NEIGHBOURS = 200  # pixels a level, from which its neighbours say how many it should have
_COMB = math.log(1.5)
_TEETH = 3
_ALIKE = 0.6  # correlation of the comb with that of whole photons


class GreyValues:
    """Converts images to (H, W) float64 in 0..levels, one at a time, and collects statistics of their values."""

    def __init__(self, levels: float) -> None:
        if not (math.isfinite(levels) and levels > 0):
            raise ValueError(f"levels must be positive, got {levels}")
        self.levels = levels
        self.histogram = np.zeros(256)
        self._whole = True
        self._spacing = 0.0  # of the values, in images of more than 8 bits that have few of them
        self._low, self._high = math.inf, -math.inf
        self._at_low = self._at_high = self._pixels = 0

    def read(self, images: Iterable[Tensor]) -> Iterator[Array]:
        """Yield the converted images, one at a time."""
        for image in images:
            yield self._one(image)
        if not self._pixels:
            raise ValueError("images must hold at least one image")

    def _one(self, image: Tensor) -> Array:
        grey = image if image.is_floating_point() else to_float(image)
        grey = grey.detach().cpu().reshape(-1, *grey.shape[-2:]).to(torch.float64)
        if grey.ndim != 3 or grey.shape[0] not in (1, 3) or not grey.numel():
            raise ValueError(f"an image must be (1, H, W), got shape {tuple(image.shape)}")
        if grey.shape[0] == 3 and not (torch.equal(grey[0], grey[1]) and torch.equal(grey[0], grey[2])):
            raise ValueError("an image must be grey, got one with colors")
        values: Array = grey[0].numpy()
        if not np.isfinite(values).all():
            raise ValueError("an image must be finite, got NaN or infinity")
        self._look(values)
        return values * self.levels

    def _look(self, values: Array) -> None:
        low, high = float(values.min()), float(values.max())
        if low < self._low:
            self._low, self._at_low = low, 0
        if high > self._high:
            self._high, self._at_high = high, 0
        self._at_low += int((values == self._low).sum())
        self._at_high += int((values == self._high).sum())
        self._pixels += values.size
        steps = np.rint(values * 255)
        whole = bool(low >= 0 and high <= 1 and np.abs(values * 255 - steps).max() < 1e-3)
        self._whole &= whole
        if whole:
            self.histogram += np.bincount(steps.astype(np.int64).ravel(), minlength=256)
        else:
            sample = values.ravel()[:: max(1, values.size // _SAMPLE)]
            different = np.unique(sample)
            if sample.size > 10 * _FEW and len(different) <= _FEW:
                self._spacing = float(np.median(np.diff(different))) * self.levels if len(different) > 1 else math.inf

    @property
    def rounding(self) -> float:
        """Variance of rounding to 8 bits, levels squared; 0 unless all images have 8 bits."""
        return (self.levels / 255) ** 2 / 12 if self._whole else 0.0

    @property
    def ends(self) -> Ends:
        """Where values are clipped: at 0 and full white if reached and not passed, or at extremes with many pixels."""
        least = max(2, _SPIKE * self._pixels)
        low = self._low if self._low == 0 or self._at_low > least else -math.inf
        high = self._high if self._high == 1 or self._at_high > least else math.inf
        return Ends(low * self.levels, high * self.levels)

    def stretched(self, eta: float, sigma: float) -> str | None:
        """Reason to believe that the values were changed after the noise, or None.

        Noise smooths a histogram. A comb in it was therefore made later: the image was stretched in 8 bits, so that
        some levels are missing or doubled, and its variance is not that of the detector. The exception is pure photon
        noise, whose values are whole numbers of photons.
        """
        scale = 255 / self.levels
        photons = eta / scale
        few = sigma * scale < 0.5 / photons + 1  # electronic noise that leaves whole photons to be seen
        if self._spacing and not (few and abs(self._spacing * eta - 1) < 0.07):
            return "the image has more than 8 bits and yet few different values: it was stretched from 8 bits"
        if not self._whole:
            return None
        deviation = np.sqrt(np.arange(256) / photons + (sigma * scale) ** 2)
        teeth, counted = comb(self.histogram, deviation)
        if teeth < _TEETH or teeth < 0.01 * counted:
            return None
        if few and _explained(self.histogram, photons):
            return None
        return (
            f"the histogram is a comb: {teeth} of {counted} grey levels have far fewer or far more pixels than their "
            "neighbours; the image was stretched in 8 bits after the noise, whose variance is no longer the detector's"
        )


def comb(histogram: Array, deviation: Array) -> tuple[int, int]:
    """Count the levels with far more or far fewer pixels than their neighbors, where noise spans several levels.

    Args:
        histogram: (256,) pixels a level.
        deviation: (256,) standard deviation of the noise at a level, levels.

    Returns:
        number of such levels, and number of levels with enough pixels to decide.
    """
    logarithm = np.log(np.maximum(histogram, 1))  # of which the median is right on a steep flank too
    around = np.median(_shifted(logarithm, [-2, -1, 1, 2]), axis=0)
    told = (around >= math.log(_NEIGHBOURS)) & (deviation >= min(1.5, deviation.max()))
    ratio = np.where(told, logarithm - around, 0.0)
    for reach in (3, 8):  # gaps with gaps beside them
        sides = [_shifted(histogram, range(sign, sign * (reach + 1), sign)).max(axis=0) for sign in (-1, 1)]
        lower = np.minimum(*sides)
        gap = (lower >= _NEIGHBOURS) & (histogram < 0.05 * lower) & (deviation >= min(reach / 2, deviation.max()))
        ratio, told = np.where(gap, math.log(0.05), ratio), told | gap
    edge = (np.arange(256) < 3) | (np.arange(256) > 252)  # where clipped values pile up
    ratio[edge], told[edge] = 0.0, False
    return int((np.abs(ratio) > _COMB).sum()), int(told.sum())


def _shifted(row: Array, shifts: Iterable[int]) -> Array:
    return np.stack([np.roll(row, -shift) for shift in shifts])


def _explained(histogram: Array, photons: float) -> bool:
    """Whether the comb is that of whole photons, with little electronic noise or none: its teeth are in step with
    theirs from black to white. `photons` a level need to be known to 2 %."""
    fine = 40  # places a level
    frequency = np.fft.rfftfreq(256 * fine, 1 / fine)
    seen, told = _relief(histogram)
    told[:8] = told[-8:] = False
    if told.sum() < 2 * _TEETH:
        return False
    blurs = [
        np.sinc(frequency) * np.exp(-2 * (np.pi * frequency * sigma) ** 2) for sigma in (0.05, 0.3, 0.6)
    ]  # and rounding
    for number in photons * np.linspace(0.98, 1.02, 801):
        place = np.rint(fine * np.arange(255 * number) / number).astype(np.int64)
        spectrum = np.fft.rfft(np.bincount(place, minlength=256 * fine).astype(np.float64))
        for blur in blurs:
            expected = np.fft.irfft(spectrum * blur)[::fine]
            teeth = _relief(expected)[0]
            if teeth[told].std() > 1e-3 and np.corrcoef(seen[told], teeth[told])[0, 1] > _ALIKE:
                return True
    return False


def _relief(histogram: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The logarithm of each level over those around it, and where the fullest of them is full enough."""
    nearest = _shifted(histogram, range(-3, 4)).max(axis=0)
    logarithm = np.log(np.maximum(histogram, 0.05 * nearest) + 1e-12)
    return logarithm - _shifted(logarithm, range(-4, 5)).mean(axis=0), nearest >= _NEIGHBOURS
