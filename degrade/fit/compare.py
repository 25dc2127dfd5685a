"""Compare kept-out real images with degraded ones: distances, a classifier, and which features differ by how much."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from degrade.base import Degradation
from degrade.fit.distance import (
    Scale,
    energy_distance,
    per_feature_wasserstein,
    permutation_p_value,
    sliced_wasserstein,
    two_sample_auc,
)
from degrade.fit.features import Feature, features_of
from degrade.fit.simulate import Pictures, describe_degraded, set_keys


@dataclass(frozen=True)
class Difference:
    """How one feature differs between two sets.

    Args:
        feature: which.
        real, made: its means in the real and in the degraded images.
        share: of the sum of all features' distances, 0 to 1.
        distance: 1-Wasserstein distance, in spreads of the real images.
    """

    feature: Feature
    real: float
    made: float
    share: float
    distance: float

    @property
    def words(self) -> str:
        """Such as "real 0.401, degraded 0.305 full scale"."""
        return f"real {self.real:.3g}, degraded {self.made:.3g} {self.feature.unit}"


@dataclass(frozen=True)
class Comparison:
    """Real images against degraded ones, all of them kept out of the fit.

    Args:
        energy: energy distance, 0 for equal distributions (unbiased: may be below 0).
        wasserstein: sliced Wasserstein distance.
        p_value: of a permutation test of the energy distance.
        auc: of a classifier that is to tell them apart; 0.5: it cannot.
        differences: of single features, the largest first.
        count: images of each of the two sets.
    """

    energy: float
    wasserstein: float
    p_value: float
    auc: float
    differences: tuple[Difference, ...]
    count: tuple[int, int]


def compare(good: Pictures, poor: Pictures, recipe: Degradation, scale: Scale, seed: int = 0) -> Comparison:
    """Degrade the good images and compare them with the poor ones, in the units of `scale`."""
    made, _ = describe_degraded(recipe, good, set_keys(1 << 20, len(good), seed))
    return compare_features(poor.describe(), made, scale, poor.images.shape[1], seed)


def compare_features(real: Tensor, made: Tensor, scale: Scale, channels: int, seed: int = 0) -> Comparison:
    """As `compare`, of descriptions (B, F) and (C, F)."""
    a, b = scale(real), scale(made)
    distances = per_feature_wasserstein(a, b)
    total = float(distances.sum()) or 1.0
    rows = zip(features_of(channels), real.mean(0).tolist(), made.mean(0).tolist(), distances.tolist(), strict=True)
    differences = [Difference(feature, x, y, d / total, d) for feature, x, y, d in rows]
    differences.sort(key=lambda difference: -difference.distance)
    folds = min(5, len(a), len(b))
    return Comparison(
        float(energy_distance(a, b)),
        float(sliced_wasserstein(a, b)),
        permutation_p_value(a, b, seed=seed),
        two_sample_auc(a, b, folds=folds, seed=seed),
        tuple(differences),
        (len(a), len(b)),
    )
