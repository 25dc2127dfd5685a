"""A degradation as a torchvision v2 transform."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor

from degrade.base import Degradation
from degrade.images import image_io, pil
from degrade.recipes import recipe as open_recipe
from degrade.rng import keyed

try:
    from torchvision import tv_tensors
    from torchvision.transforms import v2
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("degrade.adapters.torchvision needs torchvision: pip install torchvision") from error


class TorchvisionDegradation(v2.Transform):  # type: ignore[misc]
    """A degradation that works alone and inside `torchvision.transforms.v2.Compose`.

    Tensors (..., C, H, W), uint8, uint16 or floating point in [0, 1], and PIL images of modes L, RGB, LA, RGBA (their
    alpha is kept) and I;16 come back as they came; PIL images of other modes, which could not, are refused with a
    ValueError that says how to convert them. Masks, boxes and labels are passed through. Each image of a batch has
    its own draw. Keys come from torch's global generator; field of view masks are estimated.

    Args:
        recipe: a `Degradation`, or what `degrade.recipe` takes: a name, TOML or its path.
    """

    def __init__(self, recipe: Degradation | str | os.PathLike[str]) -> None:
        super().__init__()
        self.recipe = open_recipe(recipe)

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """A key for each image of the first input that has some."""
        batch = next((_tensor(entry).shape[:-3].numel() for entry in flat_inputs if self._is_image(entry)), 0)
        return {"keys": keyed.random_keys(batch, torch.device("cpu"))}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """Degrades one input with given keys."""
        if not self._is_image(inpt):
            return inpt
        given = _tensor(inpt)
        image = image_io.to_float(given.reshape(-1, *given.shape[-3:]))
        degraded = self.recipe(image, params["keys"].to(given.device)).reshape(given.shape)
        if not given.is_floating_point():
            degraded = image_io.to_integer(degraded, bits=16 if given.dtype == torch.uint16 else 8)
        degraded = degraded.to(given.dtype)
        if not isinstance(inpt, Tensor):
            return pil.from_tensor(degraded, like=inpt)
        return tv_tensors.wrap(degraded, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else degraded

    @staticmethod
    def _is_image(entry: Any) -> bool:
        from PIL import Image

        plain = isinstance(entry, Tensor) and not isinstance(entry, tv_tensors.TVTensor)
        return isinstance(entry, (tv_tensors.Image, tv_tensors.Video, Image.Image)) or (plain and entry.ndim >= 3)


def _tensor(image: Any) -> Tensor:
    if isinstance(image, Tensor):
        return image.as_subclass(Tensor)
    pil.check_returnable(image)
    return pil.to_tensor(image)
