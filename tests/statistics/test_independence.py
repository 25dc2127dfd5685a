"""No correlation, and nothing but the key; each check has twins with a planted defect that it must reject.

False-alarm rate of each correlation: 1e-6, at fixed seeds.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import degrade
from degrade.models.xray import PoissonGaussian
from degrade.testing import check_independence, check_keyed
from degrade.testing.checks import NoiseFunction, keyless
from tests.statistics import defects


@pytest.fixture(params=["reference", "cpu"], autouse=True)
def _backend(request: pytest.FixtureRequest) -> Iterator[None]:
    """The definition and the loops, one after the other."""
    with degrade.backend(request.param):
        yield


def test_nothing_is_correlated() -> None:
    for seed in range(3):
        assert [r.message for r in check_independence(defects.MODEL, seed=seed) if not r] == []


@pytest.mark.parametrize(
    ("defect", "seen_by"),
    [
        (defects.smoothed, {"neighbours in a row", "neighbours in a column", "neighbours on a diagonal"}),
        (defects.repeated_stream, {"upper and lower half"}),
        (defects.repeated_columns, {"left and right half"}),
        (defects.shared_across_channels, {"channels 0 and 1", "channels 0 and 2"}),
        (defects.shared_across_the_batch, {"samples"}),
        (defects.view_forgotten, {"views", "epochs", "seeds", "adjacent keys"}),
        (defects.key_cut_to_its_upper_half, {"adjacent keys", "adjacent keys, magnitudes"}),
        (defects.antithetic_neighbours, {"adjacent keys, magnitudes"}),
    ],
)
def test_correlations_are_rejected(defect: NoiseFunction, seen_by: set[str]) -> None:
    assert seen_by <= {result.name for result in check_independence(defect) if not result}


def test_no_noise_is_no_independence() -> None:
    assert not any(check_independence(lambda image, keys: image))


def test_keyed() -> None:
    assert all(check_keyed(defects.MODEL))
    assert all(check_keyed(PoissonGaussian(), channels=3))


@pytest.mark.parametrize(
    ("defect", "seen_by"),
    [
        (keyless(lambda image: defects.from_the_global_generator(image, image)), "the same keys"),
        (defects.from_the_global_generator, "the global generator"),
        (defects.from_a_reseeded_generator, "the global generator"),
        (defects.from_a_reseeded_generator, "a sample alone"),
        (defects.from_a_reseeded_generator, "the order"),
        (defects.shared_across_the_batch, "other keys"),
        (defects.in_place, "image and keys"),
    ],
)
def test_what_is_not_keyed_is_rejected(defect: NoiseFunction, seen_by: str) -> None:
    assert any(result.name.startswith(seen_by) for result in check_keyed(defect) if not result)
