"""Losses of Zhao et al. that preserve content between two opposed generators: cycle and identity.

Source: Zhao et al., "Data-Driven Enhancement of Blurry Retinal Images via Generative Adversarial Networks", MICCAI
2019. G_e enhances (x blurry -> ŷ), G_b blurs (y sharp -> x̂), D_e and D_b are their discriminators.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from enhance.losses.arguments import at_least_float32, check_same_length, check_same_shape


def feature_consistent(
    blurry_again: Sequence[Tensor],
    blurry: Sequence[Tensor],
    sharp_again: Sequence[Tensor],
    sharp: Sequence[Tensor],
    total: bool = False,
) -> Tensor:
    """L_Cfea: |F_b(G_b(ŷ)) - F_b(x)|_1 + |F_e(G_e(x̂)) - F_e(y)|_1 per layer; mean over the layers.

    F_b and F_e are the layers of D_b and D_e as they are at this step, hence "dynamic". The features of the real x and
    y are the target: no gradient goes through them.

    Args:
        blurry_again, blurry: D_b's layers for G_b(G_e(x)) and for x, one tensor of any shape per layer.
        sharp_again, sharp: D_e's layers for G_e(G_b(y)) and for y.
        total: sum over the layers. The paper prints the term of one layer l and says that all are selected; whether
            they are summed is a reading. With five layers and the paper's weight 10 the sum drowns the adversarial
            term, so the mean is the default.

    Returns:
        a scalar.

    Source: Zhao et al. 2019, the feature-consistent constraint.

    >>> x, y = [torch.ones(1, 4, 8, 8), torch.ones(1, 8, 4, 4)], [torch.zeros(1, 4, 8, 8), torch.zeros(1, 8, 4, 4)]
    >>> feature_consistent(x, y, y, y), feature_consistent(x, y, y, y, total=True)
    (tensor(1.), tensor(2.))
    """
    check_same_length(blurry_again=blurry_again, blurry=blurry)
    check_same_length(sharp_again=sharp_again, sharp=sharp)
    terms = []
    for again, original in ((blurry_again, blurry), (sharp_again, sharp)):
        layers = torch.stack([_l1(a, b.detach()) for a, b in zip(again, original, strict=True)])
        terms.append(layers.sum() if total else layers.mean())
    return terms[0] + terms[1]


def image_consistent(blurry_again: Tensor, blurry: Tensor, sharp_again: Tensor, sharp: Tensor) -> Tensor:
    """L_C = |G_b(ŷ) - x|_1 + |G_e(x̂) - y|_1: cycle consistency of pixels, instead of `feature_consistent`.

    Args:
        blurry_again, blurry: G_b(G_e(x)) and x, (B, C, H, W).
        sharp_again, sharp: G_e(G_b(y)) and y, (B, C, H, W).

    Returns:
        a scalar.

    Source: Zhao et al. 2019, the image-level constraint that theirs is compared with; Zhu et al., CycleGAN,
    ICCV 2017.

    >>> x, y = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    >>> image_consistent(x + 0.5, x, y, y)
    tensor(0.5000)
    """
    return _l1(blurry_again, blurry) + _l1(sharp_again, sharp)


def identity(sharp_enhanced: Tensor, sharp: Tensor, blurry_blurred: Tensor, blurry: Tensor) -> Tensor:
    """L_idt = |G_e(y) - y|_1 + |G_b(x) - x|_1: generators keep images that need no change, and colors.

    Args:
        sharp_enhanced, sharp: G_e(y) and y, (B, C, H, W).
        blurry_blurred, blurry: G_b(x) and x, (B, C, H, W).

    Returns:
        a scalar.

    Source: Zhao et al. 2019, the identity loss.

    >>> x, y = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    >>> identity(y, y, x, x)
    tensor(0.)
    """
    return _l1(sharp_enhanced, sharp) + _l1(blurry_blurred, blurry)


def _l1(given: Tensor, target: Tensor) -> Tensor:
    check_same_shape(given=given, target=target)
    return (at_least_float32(given) - at_least_float32(target)).abs().mean()
