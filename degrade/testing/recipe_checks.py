"""Checks that hold for every recipe: results in range, parameters within their ranges, keys that are independent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.rng.keyed import make_keys
from degrade.testing.checks import FALSE_ALARM_RATE
from degrade.testing.result import CheckResult, make_result

_KEYS = 2000


def check_range(degradation: Degradation, *, size: int = 64, seed: int = 0) -> list[CheckResult]:
    """Check that results are finite, in [0, 1] where the recipe clips, of the image's shape and type.

    No chance is involved.

    Args:
        degradation: the recipe.
        size: side of the images, black, white and random ones, grey and colored as it takes them.
        seed: of images and keys.
    """
    generator = torch.Generator().manual_seed(seed)
    results = []
    for channels in degradation.channels:
        shape = (4, channels, size, size)
        image = torch.stack(
            [torch.zeros(shape[1:]), torch.ones(shape[1:]), *torch.rand((2, *shape[1:]), generator=generator)]
        )
        found = degradation(image, make_keys(seed, 4), torch.ones(4, 1, size, size))
        low, high = (float(end) for end in found.aminmax())
        free = degradation.settings.get("clip") is False
        facts = {
            "shape and type": found.shape == image.shape and found.dtype == image.dtype,
            "finite": bool(found.isfinite().all()),
            "range": free or (low >= 0 and high <= 1),
        }
        for name, ok in facts.items():
            message = f"{name}, {channels} channels: values in [{low:.4g}, {high:.4g}]"
            results.append(CheckResult(f"{name}, {channels} channels", float(ok), float(ok), 0.0, ok, message))
    return results


def check_draws(
    degradation: Degradation, *, seed: int = 0, false_alarm_rate: float = FALSE_ALARM_RATE
) -> list[CheckResult]:
    """Check that drawn parameters are within their allowed ranges, and independent between keys.

    Parameters of 2,000 keys are correlated with those of the keys beside them, of the next view and of the next epoch;
    a coefficient r is judged by r sqrt(n), which is normal. Parameters that a recipe fixes are left out.

    Args:
        degradation: the recipe.
        seed: of the keys.
        false_alarm_rate: of each correlation.
    """
    table = degradation.parameter_table
    size = 64

    def drawn(keys: Tensor) -> dict[str, Tensor]:
        return degradation.draw(keys, size, size)

    keys = make_keys(seed, _KEYS)
    first = drawn(keys)
    results = []
    for p in table:
        if p.kind in ("key", "stages"):
            continue
        low, high = (float(end) for end in first[p.name].double().aminmax())
        ok = p.allowed[0] <= low and high <= p.allowed[1] * (1 + 1e-6)
        message = f"{p.name} allowed: {low:.4g} to {high:.4g}, allowed is {p.range_text}"
        results.append(CheckResult(f"{p.name} allowed", float(ok), float(ok), 0.0, ok, message))
    others = {
        "adjacent keys": drawn(keys + 1),
        "views": drawn(make_keys(seed, _KEYS, view=1)),
        "epochs": drawn(make_keys(seed, _KEYS, epoch=1)),
        "samples": {name: value.roll(1, 0) for name, value in first.items()},
    }
    for kind, other in others.items():
        for p in table:
            if p.kind == "real" and not _is_fixed(first[p.name]):
                name = f"{p.name}, {kind}"
                results.append(_uncorrelated(first[p.name], other[p.name], name, false_alarm_rate))
    return results


def _first_column(value: Tensor) -> Tensor:
    return value.double().reshape(len(value), -1)[:, 0]


def _is_fixed(value: Tensor) -> bool:
    return float(_first_column(value).std()) < 1e-9


def _uncorrelated(a: Tensor, b: Tensor, name: str, rate: float) -> CheckResult:
    """By ranks, since some parameters have long tails."""
    ranks = [_first_column(x).argsort().argsort().double() for x in (a, b)]
    x, y = (r - r.mean() for r in ranks)
    scale = float((x.square().mean() * y.square().mean()).sqrt())
    r = float((x * y).mean()) / scale if scale else math.nan
    p = math.erfc(abs(r) * math.sqrt(len(a) - 1) / math.sqrt(2))
    return make_result(name, r, p, rate, f"{name}: rank correlation {r:+.4f} over {len(a)} keys")
