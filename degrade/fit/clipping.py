"""Mean and variance of clipped Poisson-Gaussian noise, exact, and the inverse."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float64]

_GRID = 192
_MOST_COUNTS = 4096  # more photons than this at full white, and their counts are as good as normal


@dataclass(frozen=True)
class Ends:
    """Grey values at which an image is clipped; infinite if it is not."""

    low: float = -math.inf
    high: float = math.inf

    @property
    def clip(self) -> bool:
        """Whether there is clipping at either end."""
        return math.isfinite(self.low) or math.isfinite(self.high)


def clipped_moments(
    grey: Array, eta: float, sigma: float, ends: Ends, levels: float = 255.0
) -> tuple[Array, Array, Array]:
    """Mean, variance and clipped share of clip(Poisson(eta g) / eta + N(0, sigma^2), low, high).

    Args:
        grey: (G,) clean values g, at least 0.
        eta, sigma: of the noise, in the unit of `grey`.
        ends: where it is clipped.
        levels: the largest grey value; with eta it decides whether photons are counted or taken as normal.

    Returns:
        (G,) each.

    >>> mean, variance, share = clipped_moments(np.array([0.0, 100.0]), 1.0, 10.0, Ends(low=0.0))
    >>> mean.round(2), variance.round(1), share.round(2)
    (array([  3.99, 100.  ]), array([ 34.1, 200. ]), array([0.5, 0. ]))
    """
    g = torch.from_numpy(np.asarray(grey, dtype=np.float64))[:, None]
    if eta * levels <= _MOST_COUNTS:
        most = eta * float(g.max())
        k = torch.arange(math.ceil(most + 8 * math.sqrt(most) + 12), dtype=torch.float64)[None]
        rate = (eta * g).clamp(min=1e-12)
        weight = (k * rate.log() - rate - torch.lgamma(k + 1)).exp()
        center, spread = k / eta, torch.full_like(k, max(sigma, 1e-6))
    else:
        weight, center = torch.ones_like(g), g
        spread = (g / eta + sigma**2).sqrt().clamp(min=1e-6)
    below, a = _below(ends.low, center, spread)
    above_not, b = _below(ends.high, center, spread)
    low, high = (end if math.isfinite(end) else 0.0 for end in (ends.low, ends.high))
    inside, above = above_not - below, 1 - above_not
    first = center * inside + spread * (a - b) + low * below + high * above
    second = (
        (center**2 + spread**2) * inside
        + spread * ((center + low) * a - (center + high) * b)
        + low**2 * below
        + high**2 * above
    )
    mean, square = (weight * first).sum(1), (weight * second).sum(1)
    share = (weight * (below + above)).sum(1)
    return mean.numpy(), (square - mean**2).clamp(min=0).numpy(), share.numpy()


def _below(end: float, center: torch.Tensor, spread: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Cumulative distribution and standard density of the normal distribution at an end."""
    z = (end - center) / spread
    return torch.special.ndtr(z), (-z.square() / 2).exp() / math.sqrt(2 * math.pi)


def unclip(mean: Array, eta: float, sigma: float, ends: Ends, levels: float) -> tuple[Array, Array, Array]:
    """Invert clipping: from the mean of clipped values to the clean grey value, the factor by which clipping reduced
    the variance there (divide by it), and the share of values that were clipped."""
    if not ends.clip:
        return mean, np.ones_like(mean), np.zeros_like(mean)
    grid = np.linspace(0.0, levels, _GRID)
    clipped, variance, share = clipped_moments(grid, eta, sigma, ends, levels)
    clipped = np.maximum.accumulate(clipped) + 1e-9 * np.arange(_GRID)
    clean = np.interp(mean, clipped, grid)
    full = np.maximum(grid / eta + sigma**2, 1e-9)
    outside = (mean < clipped[0]) | (mean > clipped[-1])
    factor = np.maximum(np.interp(clean, grid, variance / full), 1e-3)
    return clean, factor, np.where(outside, 1.0, np.interp(clean, grid, share))
