"""Losses of PCE-Net: sequences of low-quality copies of an image (SeqLC), and the feature pyramid constraint (FPC).

Source: Liu et al., "Degradation-Invariant Enhancement of Fundus Images via Pyramid Constraint Network", MICCAI 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from enhance.losses.arguments import at_least_float32, check_same_length

GRIDS = (2, 4, 8)
"""Cells per side of the spatial pyramid pooling."""


def seqlc_l1(enhanced: Tensor, clean: Tensor, mask: Tensor | None = None) -> Tensor:
    """L_E = E[1/K sum_k |I - Î'_k|_1], the enhancement loss over K copies of each image.

    Args:
        enhanced: (B, K, C, H, W), the network's outputs.
        clean: (B, C, H, W), in the same units.
        mask: (B, 1, H, W), 1 inside the field of view. The mean stays over the whole frame, to which the outside
            then adds nothing, as in the authors' code, where both images are set to -1 there.

    Returns:
        a scalar.

    Source: PCE-Net, L_E.

    >>> clean = torch.zeros(2, 3, 8, 8)
    >>> seqlc_l1(torch.stack([clean + 1, clean + 2], dim=1), clean)
    tensor(1.5000)
    """
    if enhanced.ndim != 5 or enhanced.shape[:1] + enhanced.shape[2:] != clean.shape:
        raise ValueError(
            f"enhanced must be (B, K, C, H, W) for clean (B, C, H, W); got {tuple(enhanced.shape)} for "
            f"{tuple(clean.shape)}"
        )
    difference = (at_least_float32(enhanced) - at_least_float32(clean)[:, None]).abs()
    if mask is not None:
        if mask.shape != (len(clean), 1, *clean.shape[-2:]):
            raise ValueError(f"mask must be (B, 1, H, W) for clean {tuple(clean.shape)}; got {tuple(mask.shape)}")
        difference = difference * mask[:, None]
    return difference.mean()


def feature_pyramid_constraint(features: Sequence[Tensor]) -> Tensor:
    """L_C = sum_l E[1/K sum_k (1 - cos(M_k^l, mean_k M_k^l))]: copies of an image should have similar features.

    M_k^l is the `spatial_pyramid` of the features of layer l. The mean over the K copies has a gradient too, as in the
    paper's formula and the authors' code. Layers weigh the same. A layer whose features are all negative has no
    direction; it counts 1 and has no gradient.

    Args:
        features: one (B, K, C, h, w) per encoder layer, five in the paper; at least 8 x 8 if each cell is to be new.

    Returns:
        a scalar in [0, 2 x layers]; 0 if the copies agree.

    Source: PCE-Net, L_C; the paper's weight for it is 0.1 beside `seqlc_l1`.

    >>> one = torch.rand(2, 1, 4, 8, 8)
    >>> float(feature_pyramid_constraint([one.repeat(1, 3, 1, 1, 1)])) < 1e-6
    True
    """
    check_same_length(features=features)
    terms = []
    for layer in features:
        if layer.ndim != 5:
            raise ValueError(f"features must be (B, K, C, h, w) each; one is {tuple(layer.shape)}")
        pooled = spatial_pyramid(layer.flatten(0, 1)).reshape(*layer.shape[:2], -1)
        center = pooled.mean(dim=1, keepdim=True).expand_as(pooled)
        terms.append((1 - functional.cosine_similarity(pooled, center, dim=2)).mean())
    return torch.stack(terms).sum()


def spatial_pyramid(features: Tensor) -> Tensor:
    """Spatial pyramid pooling: ReLU, then the maximum of each cell of a 2 x 2, a 4 x 4 and an 8 x 8 grid.

    Args:
        features: (B, C, h, w). Sides that the grid does not divide have overlapping cells.

    Returns:
        (B, 84 C).

    >>> spatial_pyramid(torch.rand(2, 3, 16, 16)).shape
    torch.Size([2, 252])
    """
    positive = at_least_float32(features).relu()
    return torch.cat([functional.adaptive_max_pool2d(positive, grid).flatten(1) for grid in GRIDS], dim=1)
