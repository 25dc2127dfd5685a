"""Hypothesis strategies for images, keys, recipes and parameters: `pip install degrade-enhance[testing]`.

from hypothesis import given
from degrade.testing import strategies

@given(image=strategies.images(), degradation=strategies.recipes())
def test_shape(image, degradation): ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

try:
    from hypothesis import strategies as st
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("these strategies need Hypothesis: pip install degrade-enhance[testing]") from error

from degrade.base import Degradation
from degrade.ops.constants import SMALLEST_SIDE
from degrade.parameters import Parameters
from degrade.recipes import RECIPES, recipe
from degrade.rng.keyed import make_keys

_BOUNDS = torch.iinfo(torch.int64)
LAYOUTS = ("contiguous", "channels_last", "strided", "expanded", "transposed")


@st.composite
def images(
    draw: st.DrawFn,
    channels: Sequence[int] = (1, 3),
    sides: tuple[int, int] = (SMALLEST_SIDE, 80),
    batch: tuple[int, int] = (1, 4),
    dtypes: Sequence[torch.dtype] = (torch.float32, torch.float64, torch.float16, torch.bfloat16),
    layouts: Sequence[str] = LAYOUTS,
    low: float = 0.0,
    high: float = 1.0,
) -> Tensor:
    """(B, C, H, W) images in [low, high]: flat, noisy, or of blacks and whites; odd shapes, types and memory layouts.

    Args:
        draw: from Hypothesis.
        channels, dtypes, layouts: what to choose from.
        sides, batch: smallest and largest height and width, batch.
        low, high: the values, within [0, 1].
    """
    b, c = draw(st.integers(*batch)), draw(st.sampled_from(channels))
    h, w = draw(st.integers(*sides)), draw(st.integers(*sides))
    kind = draw(st.sampled_from(["noise", "flat", "extremes"]))
    layout, dtype = draw(st.sampled_from(layouts)), draw(st.sampled_from(dtypes))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    wide = 2 * w if layout == "strided" else w
    unit = torch.rand((1 if layout == "expanded" else b, c, h, wide), generator=generator)
    if kind != "noise":
        unit = unit[..., :1, :1].expand_as(unit).clone() if kind == "flat" else unit.round()
    image = (low + (high - low) * unit).to(dtype).clamp(*_inside(low, high, dtype))
    if layout == "expanded":
        return image.expand(b, -1, -1, -1)
    if layout == "transposed":
        return image.transpose(2, 3).contiguous().transpose(2, 3)
    if layout == "channels_last":
        return image.contiguous(memory_format=torch.channels_last)
    return image[..., ::2] if layout == "strided" else image


def keys(count: int | None = None) -> st.SearchStrategy[Tensor]:
    """(count,) int64 keys: any, those that `make_keys` gives, neighbours, and the extremes; 1 to 4 by default."""
    counts = st.integers(1, 4) if count is None else st.just(count)

    def of(n: int) -> st.SearchStrategy[Tensor]:
        anything = st.integers(_BOUNDS.min, _BOUNDS.max)
        listed = st.lists(anything | st.sampled_from([0, -1, _BOUNDS.min, _BOUNDS.max]), min_size=n, max_size=n)
        made = st.builds(lambda seed, epoch: make_keys(seed, n, epoch), anything, st.integers(0, 1000))
        row = st.integers(_BOUNDS.min, _BOUNDS.max - n).map(lambda first: torch.arange(n) + first)
        return listed.map(lambda values: torch.tensor(values, dtype=torch.int64)) | made | row

    return counts.flatmap(of)


def recipes(names: Sequence[str] | None = None) -> st.SearchStrategy[Degradation]:
    """Degradations of the named recipes, of all by default, with their own settings."""
    return st.sampled_from(sorted(names if names is not None else RECIPES)).map(recipe)


@st.composite
def parameters(draw: st.DrawFn, degradation: Degradation, batch: int, height: int, width: int) -> Parameters:
    """Parameters that `degradation` draws for a batch of images of this size, from any keys."""
    return degradation.draw(draw(keys(batch)), height, width)


@st.composite
def noise_parameters(
    draw: st.DrawFn, batch: int, eta: tuple[float, float] = (0.05, 100.0), sigma: tuple[float, float] = (0.0, 50.0)
) -> Parameters:
    """Parameters for `degrade.models.xray.PoissonGaussian`, (batch,) each: eta and sigma anywhere within the ranges."""
    values = {
        name: torch.tensor([draw(st.floats(*_inside(*ends, torch.float32), width=32)) for _ in range(batch)])
        for name, ends in (("eta", eta), ("sigma", sigma))
    }
    return {**values, "noise_key": draw(keys(batch))}


def _inside(low: float, high: float, dtype: torch.dtype) -> tuple[float, float]:
    """The smallest and the largest number of a type in [low, high]; ValueError where there is none.

    >>> low, high = _inside(0.1, 0.3, torch.float16)
    >>> 0.1 <= low < 0.1001, 0.2997 < high <= 0.3
    (True, True)
    """
    first, last = (torch.tensor(end, dtype=torch.float64).to(dtype) for end in (low, high))
    up, down = (torch.tensor(end, dtype=dtype) for end in (math.inf, -math.inf))
    first = torch.nextafter(first, up) if float(first) < low else first
    last = torch.nextafter(last, down) if float(last) > high else last
    if not float(first) <= float(last):
        raise ValueError(f"low = {low}, high = {high}: {dtype} has no number between them")
    return float(first), float(last)
