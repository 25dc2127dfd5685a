"""p-values of every check are uniform for right functions, so that false alarms come as often as stated."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from degrade.testing import check_independence, check_poisson_gaussian
from degrade.testing.checks import check_normal

RUNS = 100
ALPHA = 1e-4


def noise(eta: float, sigma: float, seed: int):
    """The right function by NumPy's generator."""
    random = np.random.default_rng(seed)

    def of(image: Tensor, keys: Tensor) -> Tensor:
        g = 255 * image.double().numpy()
        return torch.from_numpy((random.poisson(eta * g) / eta + random.normal(0, sigma, g.shape)) / 255)

    return of


def p_values(check) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(RUNS):
        for result in check(seed):
            assert result.passed == (result.p_value >= result.false_alarm_rate)
            found[result.name].append(result.p_value)
    return found


def are_uniform(values: list[float]) -> bool:
    return float(stats.kstest(values, "uniform").pvalue) > ALPHA


CHECKS = {
    "counts": lambda seed: check_poisson_gaussian(noise(0.5, 0, seed), 0.5, 0, values=(0.3,), samples=16_000),
    "remainder": lambda seed: check_poisson_gaussian(noise(0.05, 1, seed), 0.05, 1, values=(0.5,), samples=16_000),
    "distribution": lambda seed: check_poisson_gaussian(noise(0.05, 9, seed), 0.05, 9, values=(0.5,), samples=16_000),
    "independence": lambda seed: check_independence(noise(0.5, 5, seed), batch=3, side=32),
    "normal": lambda seed: [check_normal(torch.from_numpy(np.random.default_rng(seed).normal(size=2000)))],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKS)
def test_right_functions_have_uniform_p_values(name: str) -> None:
    found = p_values(CHECKS[name])
    assert found
    for check, values in found.items():
        assert are_uniform(values), (check, sorted(values)[:5])
        assert sum(p < 0.05 for p in values) <= 5 + 4 * (RUNS * 0.05 * 0.95) ** 0.5, check


def test_a_check_that_cries_wolf_would_be_found() -> None:
    uniform = list(np.random.default_rng(0).uniform(size=RUNS))
    assert are_uniform(uniform)
    assert not are_uniform([p / 2 for p in uniform])
    assert not are_uniform([min(1.0, 2 * p) for p in uniform])
