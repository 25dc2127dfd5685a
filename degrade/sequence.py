"""SeqLC: sequences of low-quality images with the same content."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from degrade.base import Degradation
from degrade.parameters import Parameters
from degrade.rng import keyed


class SeqLC(nn.Module):
    """K degraded views of each image: same content, geometry and mask, each view its own degradation.

    Source: Liu et al., "Degradation-invariant Enhancement of Fundus Images via Pyramid Constraint Network",
    MICCAI 2022, section 2.1; the released code trains on K = 4.

    View k of an image is what the degradation alone gives for `view_keys(keys, k)`, that is, for
    `make_keys(..., view=k)`: view 0 for the key itself.

    Args:
        degradation: what makes the views.
        views: K, at least 1.

    >>> import degrade
    >>> image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 2), 64)
    >>> keys = degrade.make_keys(0, ["a", "b"])
    >>> d = degrade.recipe("pce-net")
    >>> views = SeqLC(d, views=4)(image, keys, mask)
    >>> views.shape
    torch.Size([2, 4, 3, 64, 64])
    >>> torch.equal(views[:, 2], d(image, degrade.make_keys(0, ["a", "b"], view=2), mask))
    True
    """

    def __init__(self, degradation: Degradation, views: int = 4) -> None:
        super().__init__()
        if views < 1:
            raise ValueError(f"views = {views}: at least 1")
        self.degradation = degradation
        self.views = views

    def forward(self, image: Tensor, keys: Tensor | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, C, H, W), (B,), (B, 1, H, W) -> (B, K, C, H, W)."""
        return self.sample(image, keys, mask)[0]

    def sample(
        self, image: Tensor, keys: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Parameters]:
        """As `Degradation.sample`: the views (B, K, C, H, W), and their parameters (B, K, ...)."""
        batch = image.shape[0]
        if keys is None:
            keys = keyed.random_keys(batch, image.device)
        keys = keyed.view_keys(keys[:, None], torch.arange(self.views, device=keys.device)).flatten()
        mask = self.degradation.field_of_view(image) if mask is None else mask
        repeated, masks = (tensor.repeat_interleave(self.views, dim=0) for tensor in (image, mask))
        degraded, parameters = self.degradation.sample(repeated, keys, masks)

        def unfold(tensor: Tensor) -> Tensor:
            return tensor.view(batch, self.views, *tensor.shape[1:])

        return unfold(degraded), {name: unfold(value) for name, value in parameters.items()}
