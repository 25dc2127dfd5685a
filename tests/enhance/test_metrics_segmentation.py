"""enhance.metrics.segmentation against torchmetrics, image by image, with and without a field of view."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import Tensor
from torchmetrics.functional import classification as peer

import degrade
from enhance.metrics import Confusion, auc, confusion

PEERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "iou": peer.binary_jaccard_index,
    "dice": peer.binary_f1_score,
    "accuracy": peer.binary_accuracy,
    "sensitivity": peer.binary_recall,
    "specificity": peer.binary_specificity,
    "fdr": lambda p, t: 1 - peer.binary_precision(p, t),
    "g_mean": lambda p, t: (peer.binary_recall(p, t) * peer.binary_specificity(p, t)).sqrt(),
    "kappa": peer.binary_cohen_kappa,
}


def vessels() -> tuple[Tensor, Tensor, Tensor]:
    """Probabilities, truth and field of three phantom eyes; 8-bit probabilities, so that many are tied."""
    _, truth, mask = degrade.phantom.fundus(degrade.make_keys(5, 3), 96)
    noise = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0))
    return ((0.55 * truth + 0.6 * noise).clamp(0, 1) * 255).round() / 255, (truth > 0.5).float(), mask


def chosen(i: int, mask: Tensor | None, *planes: Tensor) -> list[Tensor]:
    return [plane[i, 0][mask[i, 0] > 0.5] if mask is not None else plane[i, 0].flatten() for plane in planes]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", PEERS)
def test_agrees_with_torchmetrics(name: str, masked: bool) -> None:
    """To 1e-6: torchmetrics divides in float32."""
    probability, truth, mask = vessels()
    field = mask if masked else None
    ours = getattr(confusion(probability, truth, field), name)
    assert ours.shape == (3,)
    for i in range(3):
        p, t = chosen(i, field, probability, truth)
        assert float(ours[i]) == pytest.approx(float(PEERS[name]((p >= 0.5).int(), t.int())), abs=1e-6)


@pytest.mark.parametrize("masked", [False, True])
def test_auc_is_exact_with_ties(masked: bool) -> None:
    probability, truth, mask = vessels()
    field = mask if masked else None
    ours = auc(probability, truth, field)
    for i in range(3):
        p, t = (plane.numpy() for plane in chosen(i, field, probability, truth))
        positives = t.sum()
        u = rankdata(p)[t > 0].sum() - positives * (positives + 1) / 2
        assert float(ours[i]) == pytest.approx(u / (positives * (len(t) - positives)), abs=1e-12)
        exact = peer.binary_auroc(torch.from_numpy(p), torch.from_numpy(t).int(), thresholds=None)
        assert float(ours[i]) == pytest.approx(float(exact), abs=1e-5)


def test_auc_of_plain_cases() -> None:
    truth = torch.tensor([0, 0, 1, 1.0]).view(1, 1, 2, 2)
    for scores, expected in (([0, 1, 2, 3], 1.0), ([3, 2, 1, 0], 0.0), ([1, 1, 1, 1], 0.5), ([0, 2, 2, 3], 0.875)):
        assert float(auc(torch.tensor(scores, dtype=torch.float32).view(1, 1, 2, 2), truth)) == expected
    assert auc(truth, torch.zeros_like(truth)).isnan().all()


def test_scores_outside_the_field_do_not_matter() -> None:
    probability, truth, mask = vessels()
    other = torch.where(mask > 0.5, probability, torch.rand_like(probability))
    flipped = torch.where(mask > 0.5, truth, 1 - truth)
    assert torch.equal(auc(probability, truth, mask), auc(other, flipped, mask))
    assert torch.equal(confusion(probability, truth, mask).kappa, confusion(other, flipped, mask).kappa)
    assert float(confusion(probability, truth, mask).total[0]) == float((mask[0] >= 0.5).sum())


def test_an_image_does_not_depend_on_its_batch() -> None:
    probability, truth, mask = vessels()
    alone = [(probability[i : i + 1], truth[i : i + 1], mask[i : i + 1]) for i in range(3)]
    assert torch.equal(auc(probability, truth, mask), torch.cat([auc(*one) for one in alone]))
    dice = torch.cat([confusion(*one).dice for one in alone])
    assert torch.equal(confusion(probability, truth, mask).dice, dice)


def test_undefined_ratios_are_nan() -> None:
    nothing, everything = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    empty = confusion(nothing, nothing)
    assert [bool(v.isnan()) for v in (empty.iou, empty.dice, empty.sensitivity, empty.fdr, empty.kappa)] == [True] * 5
    assert float(empty.accuracy) == float(empty.specificity) == 1
    assert float(confusion(everything, nothing).fdr) == 1
    assert float(confusion(nothing, everything).dice) == 0


def test_the_published_sspnet_row_contradicts_itself() -> None:
    """docs/metrics.md: sensitivity .82 and specificity .97 allow no AUC below .895, and Dice .77 no FDR of .98."""
    counts = Confusion(*(torch.tensor([n], dtype=torch.float64) for n in (82.14, 27.6, 17.86, 972.4)))
    assert float(counts.sensitivity) == pytest.approx(0.8214)
    assert float(counts.specificity) == pytest.approx(0.9724)
    smallest_area = float(counts.sensitivity * counts.specificity)  # of any rising curve through this one point
    assert smallest_area > 0.5673
    precision = 1 - 0.9736
    assert 2 * precision / (precision + 1) < 0.06 < 0.7736  # the largest Dice at that precision


def test_the_threshold() -> None:
    scores = torch.tensor([0.2, 0.5, 0.6, 0.9]).view(1, 1, 2, 2)
    truth = torch.tensor([0, 1, 0, 1.0]).view(1, 1, 2, 2)
    found = [
        float(
            confusion(scores, truth, threshold=t).true_positive + confusion(scores, truth, threshold=t).false_positive
        )
        for t in (0.1, 0.5, 0.7)
    ]
    assert found == [4, 3, 1]


def test_mistakes_are_named() -> None:
    x = torch.rand(2, 1, 8, 8)
    for call in (confusion, auc):
        with pytest.raises(ValueError, match="prediction and target must both be"):
            call(x, x[:1])
        with pytest.raises(ValueError, match="mask must be"):
            call(x, x, x[..., :4])
    assert np.isfinite(float(auc(x, x.round())[0]))
