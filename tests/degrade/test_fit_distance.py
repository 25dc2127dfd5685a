"""Distances between sets: 0 for one distribution, larger the further apart, and p-values that are uniform."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from degrade.fit.distance import (
    Scale,
    area_under_curve,
    energy_contributions,
    energy_distance,
    per_feature_wasserstein,
    permutation_p_value,
    sliced_wasserstein,
    two_sample_auc,
)


def normal(count: int, seed: int, shift: float = 0.0, features: int = 4) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(count, features, generator=generator, dtype=torch.float64)
    found[:, 0] += shift
    return found


def test_energy_distance_is_unbiased_and_grows():
    same = torch.stack([energy_distance(normal(30, seed), normal(40, 100 + seed)) for seed in range(60)])
    assert same.mean().abs() < 3 * same.std() / 60**0.5
    apart = [float(energy_distance(normal(60, 0), normal(60, 1, shift))) for shift in (0.5, 1.0, 2.0)]
    assert apart == sorted(apart)
    assert apart[0] > same.std()


def test_energy_of_two_points_by_hand():
    first, second = torch.tensor([[0.0], [2.0]]), torch.tensor([[10.0], [10.0]])
    assert float(energy_distance(first, second)) == pytest.approx(2 * 9 - 2 - 0, abs=1e-4)


def test_contributions_have_the_gradient_of_the_distance():
    first, second = normal(12, 0, 1.0).requires_grad_(), normal(15, 1)
    (whole,) = torch.autograd.grad(energy_distance(first, second), first)
    (each,) = torch.autograd.grad(energy_contributions(first, second).mean(), first)
    assert torch.allclose(whole, each, atol=1e-9)


def test_wasserstein_of_a_shift_is_the_shift():
    x = normal(50, 0)
    assert torch.allclose(per_feature_wasserstein(x, x + 1.5), torch.full((4,), 1.5, dtype=torch.float64))
    assert float(per_feature_wasserstein(normal(2000, 0), normal(500, 1, 2.0))[0]) == pytest.approx(2, abs=0.2)
    assert float(sliced_wasserstein(x, x + 0)) == 0


def test_p_values_are_uniform_for_one_distribution_and_small_for_two():
    same = torch.tensor([permutation_p_value(normal(20, s), normal(25, 500 + s), 99) for s in range(60)])
    assert 0.35 < same.mean() < 0.65
    assert (same < 0.1).double().mean() < 0.25
    assert permutation_p_value(normal(40, 0), normal(40, 1, 2.0), 99) == pytest.approx(0.01)


def test_a_classifier_tells_apart_what_differs_only():
    same = [two_sample_auc(normal(40, s), normal(40, 50 + s)) for s in range(8)]
    assert sum(same) / 8 == pytest.approx(0.5, abs=0.06)
    assert two_sample_auc(normal(60, 0), normal(60, 1, 3.0)) > 0.95
    wide = normal(80, 2)
    wide[:, 1] *= 4
    assert two_sample_auc(normal(80, 3), wide) > 0.7  # spread alone: squares are seen


def test_area_by_hand():
    scores, truth = torch.tensor([0.1, 0.4, 0.4, 0.8]), torch.tensor([0.0, 0.0, 1.0, 1.0])
    assert area_under_curve(scores, truth) == pytest.approx((1 + 0.5 + 1 + 1) / 4)


def test_scales_ignore_constant_features_and_outliers():
    x = normal(50, 0)
    x[:, 2] = 1.0
    x[0, 3] = 1e6
    scaled = Scale.of(x, 0.01)(x)
    assert scaled.isfinite().all()
    assert float(scaled.abs().max()) <= 6


def test_refusals():
    with pytest.raises(ValueError, match="two rows"):
        energy_distance(normal(1, 0), normal(5, 1))
    with pytest.raises(ValueError, match="folds = 5"):
        two_sample_auc(normal(4, 0), normal(9, 1))
