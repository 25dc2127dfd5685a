"""Compare the rows of a table: paired t-test and Wilcoxon test of each metric, and bootstrap intervals. Needs SciPy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

RESAMPLES = 2000


@dataclass(frozen=True)
class Difference:
    """Two rows compared in one metric, over the images that have both numbers.

    Attributes:
        first, second, metric: names.
        mean: of first minus second.
        images: how many.
        t, wilcoxon: two-sided p-values of the paired tests; NaN where there are fewer than two images or no difference.
    """

    first: str
    second: str
    metric: str
    mean: float
    images: int
    t: float
    wilcoxon: float


def differences(values: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Difference]:
    """Every pair of rows in every metric that both have, numbers by row and metric in the order of the images.

    Raises:
        ModuleNotFoundError: SciPy is not installed.
    """
    found = []
    for first, second in combinations(values, 2):
        for metric, numbers in values[first].items():
            others = values[second].get(metric)
            if others is None or len(others) != len(numbers):
                continue
            pairs = [(a, b) for a, b in zip(numbers, others, strict=True) if math.isfinite(a) and math.isfinite(b)]
            found.append(_difference(first, second, metric, pairs))
    return found


def interval(numbers: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % bootstrap interval of the mean (percentiles of 2,000 resamples of the images); NaN for fewer than two.

    >>> low, high = interval([1.0, 2.0, 3.0, 4.0])
    >>> 1 <= low < 2.5 < high <= 4
    True
    """
    import numpy as np

    known = [number for number in numbers if math.isfinite(number)]
    if len(known) < 2:
        return math.nan, math.nan
    if len(set(known)) == 1:
        return known[0], known[0]
    result = _stats().bootstrap(
        (known,), np.mean, n_resamples=RESAMPLES, method="percentile", rng=np.random.default_rng(seed)
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def text(found: Sequence[Difference]) -> str:
    """The differences as lines."""
    lines = ["first - second, metric: mean difference; p of the paired t-test and of Wilcoxon's"]
    for one in found:
        tests = f"t {one.t:.2g}, Wilcoxon {one.wilcoxon:.2g}, {one.images} images"
        lines.append(f"{one.first} - {one.second}, {one.metric}: {one.mean:+.4g}; {tests}")
    return "\n".join(lines)


def _difference(first: str, second: str, metric: str, pairs: Sequence[tuple[float, float]]) -> Difference:
    stats = _stats()
    apart = [a - b for a, b in pairs]
    mean = math.fsum(apart) / len(apart) if apart else math.nan
    if len(apart) < 2 or not any(apart):
        return Difference(first, second, metric, mean, len(apart), math.nan, math.nan)
    ours, theirs = zip(*pairs, strict=True)
    t = math.nan if len(set(apart)) == 1 else float(stats.ttest_rel(ours, theirs).pvalue)
    return Difference(first, second, metric, mean, len(apart), t, float(stats.wilcoxon(ours, theirs).pvalue))


def _stats() -> Any:
    try:
        from scipy import stats
    except ModuleNotFoundError:
        raise ModuleNotFoundError("tests and intervals need SciPy: pip install 'degrade-enhance[testing]'") from None
    return stats
