"""Segmentation metrics for two classes, per image, inside a field of view."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from enhance.metrics.arguments import inside


@dataclass(frozen=True)
class Confusion:
    """Pixel counts of each image, (B,) float64 each, and what follows from them.

    A ratio 0/0, such as the sensitivity of an image without any positive pixel, is nan: undefined, not perfect and not
    zero. Average with `torch.nanmean`.
    """

    true_positive: Tensor
    false_positive: Tensor
    false_negative: Tensor
    true_negative: Tensor

    @property
    def total(self) -> Tensor:
        """TP + FP + FN + TN: pixels that count."""
        return self.true_positive + self.false_positive + self.false_negative + self.true_negative

    @property
    def iou(self) -> Tensor:
        """Intersection over union (Jaccard), TP / (TP + FP + FN)."""
        return self.true_positive / (self.true_positive + self.false_positive + self.false_negative)

    @property
    def dice(self) -> Tensor:
        """Dice coefficient (F1), 2 TP / (2 TP + FP + FN)."""
        return 2 * self.true_positive / (2 * self.true_positive + self.false_positive + self.false_negative)

    @property
    def accuracy(self) -> Tensor:
        """(TP + TN) / all."""
        return (self.true_positive + self.true_negative) / self.total

    @property
    def sensitivity(self) -> Tensor:
        """Recall, TP / (TP + FN)."""
        return self.true_positive / (self.true_positive + self.false_negative)

    @property
    def specificity(self) -> Tensor:
        """TN / (TN + FP)."""
        return self.true_negative / (self.true_negative + self.false_positive)

    @property
    def fdr(self) -> Tensor:
        """False discovery rate, FP / (TP + FP) = 1 - precision; lower is better."""
        return self.false_positive / (self.true_positive + self.false_positive)

    @property
    def g_mean(self) -> Tensor:
        """sqrt(sensitivity x specificity)."""
        return (self.sensitivity * self.specificity).sqrt()

    @property
    def kappa(self) -> Tensor:
        """Cohen's kappa, (p_o - p_e) / (1 - p_e), p_o the accuracy, p_e the accuracy that chance would have."""
        positive = (self.true_positive + self.false_negative) * (self.true_positive + self.false_positive)
        negative = (self.true_negative + self.false_positive) * (self.true_negative + self.false_negative)
        chance = (positive + negative) / self.total.square()
        return (self.accuracy - chance) / (1 - chance)


def confusion(prediction: Tensor, target: Tensor, mask: Tensor | None = None, threshold: float = 0.5) -> Confusion:
    """Count true and false positives and negatives of each image.

    Args:
        prediction: (B, 1, H, W), probability of the structure, or a mask of 0 and 1; positive from `threshold` on.
        target: (B, 1, H, W), the truth; positive from 0.5 on.
        mask: (B, 1, H, W), the field of view; pixels where it is below 0.5 do not count. The surround is easy, and
            counting it flatters accuracy, specificity and AUC.
        threshold: of `prediction`.

    Returns:
        the counts; its properties are the metrics.

    >>> truth = torch.tensor([0, 0, 1, 1.0]).view(1, 1, 2, 2)
    >>> counts = confusion(torch.tensor([0, 0.9, 0.8, 0.7]).view(1, 1, 2, 2), truth)
    >>> counts.dice, counts.specificity
    (tensor([0.8000], dtype=torch.float64), tensor([0.5000], dtype=torch.float64))
    """
    counted, positive = _truth(prediction, target, mask)
    found = prediction.flatten(1) >= threshold

    def count(pixels: Tensor) -> Tensor:
        return _exact((pixels & counted).sum(dim=1))

    return Confusion(
        count(found & positive), count(found & ~positive), count(~found & positive), count(~found & ~positive)
    )


def auc(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """Area under the ROC curve: probability that a positive pixel scores above a negative one, ties counting half.

    Exact: from the ranks of all pixels (Mann-Whitney), not from a few thresholds.

    Args:
        prediction: (B, 1, H, W), any finite scores: only their order matters.
        target, mask: as for `confusion`.

    Returns:
        (B,) in [0, 1], float64; nan where either class is missing.

    >>> truth = torch.tensor([0, 0, 1, 1.0]).view(1, 1, 2, 2)
    >>> auc(torch.tensor([0.1, 0.4, 0.4, 0.8]).view(1, 1, 2, 2), truth)
    tensor([0.8750], dtype=torch.float64)
    """
    counted, positive = _truth(prediction, target, mask)
    # pixels that do not count go last, where they change no rank before them
    scores = prediction.flatten(1).masked_fill(~counted, torch.inf)
    ordered = scores.sort(dim=1).values
    below = torch.searchsorted(ordered, scores)
    ranks = _exact(below + torch.searchsorted(ordered, scores, right=True) + 1) / 2
    positives, negatives = (_exact((counted & which).sum(dim=1)) for which in (positive, ~positive))
    ranked = (ranks * (counted & positive)).sum(dim=1)
    return (ranked - positives * (positives + 1) / 2) / (positives * negatives)


def _exact(counts: Tensor) -> Tensor:
    """Convert counts to float64: dividing integers would give PyTorch's default type."""
    return counts.to(torch.float32 if counts.device.type == "mps" else torch.float64)


def _truth(prediction: Tensor, target: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """(B, H W) bool each: pixels inside the mask, and positive pixels."""
    if prediction.ndim != 4 or prediction.shape[1] != 1 or prediction.shape != target.shape:
        raise ValueError(
            f"prediction and target must both be (B, 1, H, W); got {tuple(prediction.shape)} and {tuple(target.shape)}"
        )
    return inside(mask, prediction).flatten(1), target.flatten(1) >= 0.5
