"""SeqLC: sequences of low-quality images with the same content."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from degrade.base import Degradation
from degrade.checks import plain
from degrade.parameters import Parameters
from degrade.recipes import recipe
from degrade.rng import keyed


class SeqLC(nn.Module):
    """K degraded views of each image: same content, geometry and mask, each view its own degradation.

    Source: Liu et al., "Degradation-invariant Enhancement of Fundus Images via Pyramid Constraint Network",
    MICCAI 2022, section 2.1; the released code trains on K = 4.

    View k of an image is what the degradation alone gives for `view_keys(keys, k)`, that is, for
    `make_keys(..., view=k)`: view 0 for the key itself.

    Args:
        degradation: what makes the views: a `Degradation`, or what `degrade.recipe` takes.
        views: K, at least 1.

    >>> import degrade
    >>> image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 2), 64)
    >>> keys = degrade.make_keys(0, ["a", "b"])
    >>> views = SeqLC("pce-net", views=4)(image, keys, mask)
    >>> views.shape
    torch.Size([2, 4, 3, 64, 64])
    >>> torch.equal(views[:, 2], degrade.recipe("pce-net")(image, degrade.make_keys(0, ["a", "b"], view=2), mask))
    True
    """

    def __init__(self, degradation: Degradation | str | os.PathLike[str], views: int = 4) -> None:
        super().__init__()
        if views < 1:
            raise ValueError(f"views = {views}: at least 1")
        self.degradation = recipe(degradation)
        self.views = views

    def forward(self, image: Tensor, keys: keyed.Keys | None = None, mask: Tensor | None = None) -> Tensor:
        """(B, C, H, W), (B,), (B, 1, H, W) -> (B, K, C, H, W)."""
        return self.sample(image, keys, mask)[0]

    def sample(
        self, image: Tensor, keys: keyed.Keys | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Parameters]:
        """As `Degradation.sample`: the views (B, K, C, H, W), and their parameters (B, K, ...)."""
        image, mask, batch = plain(image), plain(mask), image.shape[0]
        keys = keyed.random_keys(batch) if keys is None else keyed.as_keys(keys)
        keys = keyed.view_keys(keys[:, None], torch.arange(self.views, device=keys.device)).flatten()
        mask = self.degradation.field_of_view(image) if mask is None else mask
        repeated, masks = (tensor.repeat_interleave(self.views, dim=0) for tensor in (image, mask))
        degraded, parameters = self.degradation.sample(repeated, keys, masks)

        def unfold(tensor: Tensor) -> Tensor:
            return tensor.view(batch, self.views, *tensor.shape[1:])

        return unfold(degraded), {name: unfold(value) for name, value in parameters.items()}
