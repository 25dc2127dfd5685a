"""Degrade images of any kind: Pillow pictures, NumPy arrays and tensors come back as they came."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from degrade.base import Degradation
from degrade.images import image_io, pil
from degrade.layouts import from_batch, layout_of, to_batch
from degrade.parameters import Parameters
from degrade.recipes import recipe as open_recipe
from degrade.rng import keyed

Picture = TypeVar("Picture")
RecipeLike = Degradation | str | os.PathLike[str]
Id = str | int


@overload
def degrade(
    image: Picture,
    recipe: RecipeLike,
    seed: int = ...,
    id: Id | Sequence[str] | Sequence[int] | None = ...,
    return_parameters: Literal[False] = ...,
) -> Picture: ...
@overload
def degrade(
    image: Picture,
    recipe: RecipeLike,
    seed: int = ...,
    id: Id | Sequence[str] | Sequence[int] | None = ...,
    *,
    return_parameters: Literal[True],
) -> tuple[Picture, Parameters]: ...
def degrade(
    image: Picture,
    recipe: RecipeLike,
    seed: int = 0,
    id: Id | Sequence[str] | Sequence[int] | None = None,
    return_parameters: bool = False,
) -> Picture | tuple[Picture, Parameters]:
    """Degrade a picture, an array or a tensor; the result has its type, layout and depth.

    Equal seeds and ids give equal degradations: those that streams (in epoch 0) and `degrade synth` make of the sample
    with this id. The field of view is estimated where the recipe has one.

    Args:
        image: one image or a batch of uint8, uint16 or floating point in [0, 1], C = 1 or 3, H and W at least 32:
            a Pillow picture (modes L, RGB, LA, RGBA, whose alpha is kept, and I;16); a NumPy array (H, W), (H, W, C)
            or (B, H, W, C); a tensor (C, H, W) or (B, C, H, W), or of a subclass (MONAI's MetaTensor, torchvision's
            tv_tensors), which the result belongs to as well. Other layouts are taken where only one fits.
        recipe: a name from `degrade.RECIPES`, TOML, its path, or a `Degradation`.
        seed: any whole number; another one gives another degradation.
        id: who the image is, a name (a path, usually) or a whole number; for a batch a list with one per image.
            By default images are numbered from 0.
        return_parameters: return the parameters too.

    Returns:
        the degraded image; with `return_parameters` also the parameters, (B, ...) each with B = 1 for a single image,
        with which `recipe.apply` degrades float images (B, C, H, W) alike.

    Raises:
        TypeError: images of another kind or number type; ids that are neither text nor whole numbers.
        ValueError: shapes that fit no layout or two, which are named; floats outside [0, 1]; Pillow modes that could
            not come back as they came; not one id per image.

    >>> import numpy as np
    >>> photograph = np.full((64, 80, 3), 128, np.uint8)
    >>> degraded, parameters = degrade(photograph, "x-bdcnn", seed=0, id="left/01", return_parameters=True)
    >>> degraded.shape, degraded.dtype, parameters["eta"].shape
    ((64, 80, 3), dtype('uint8'), torch.Size([1]))
    """
    from PIL import Image

    if isinstance(image, Image.Image):
        pil.check_returnable(image)
    given: Any = pil.to_tensor(image) if isinstance(image, Image.Image) else image
    layout = _layout(given)
    keys = keyed.make_keys(seed, _ids(id, given, layout))
    made, parameters = sample_as_given(given, open_recipe(recipe), keys, layout)
    if isinstance(image, Image.Image):
        made = pil.from_tensor(made, image)
    return (made, parameters) if return_parameters else made


def sample_as_given(image: Any, recipe: Degradation, keys: Tensor, layout: str) -> tuple[Any, Parameters]:
    """`recipe.sample` of an array or a tensor of any layout and depth, which the result has too.

    Args:
        image: uint8, uint16, or floating point in [0, 1].
        recipe: what degrades it.
        keys: (B,) int64, B = 1 for one image.
        layout: of `image`, one of `degrade.layouts.LAYOUTS`.
    """
    pixels = _pixels(image)
    batch = to_batch(pixels, layout)
    dtype = batch.dtype if batch.is_floating_point() else torch.float32
    degraded, parameters = recipe.sample(image_io.to_float(batch, dtype).contiguous(), keys)
    if not pixels.is_floating_point():
        degraded = image_io.to_integer(degraded, bits=8 * pixels.dtype.itemsize)
    made = from_batch(degraded, layout)
    if isinstance(image, np.ndarray):
        return np.ascontiguousarray(made.detach().numpy()).astype(image.dtype, copy=False), parameters
    return _like(made, image), parameters


def to_floats(image: Any) -> Tensor:
    """Images of any kind that `degrade` takes, and Pillow pictures of any mode, as floats (B, C, H, W) in [0, 1]."""
    from PIL import Image

    given = pil.to_tensor(image) if isinstance(image, Image.Image) else image
    layout = _layout(given)
    return image_io.to_float(to_batch(_pixels(given), layout))


def _layout(image: Any) -> str:
    if not isinstance(image, (np.ndarray, Tensor)):
        raise TypeError(f"image must be a Pillow picture, a NumPy array or a tensor; got {type(image).__name__}")
    first = isinstance(image, Tensor)
    return layout_of(image.shape, "tensor" if first else "array", channels_first=first)


def _pixels(image: NDArray[Any] | Tensor) -> Tensor:
    """The pixels as a plain tensor, which must not be changed."""
    if isinstance(image, Tensor):
        return image.as_subclass(Tensor)
    native = image.dtype.newbyteorder("=")
    if native not in (np.uint8, np.uint16, np.float16, np.float32, np.float64):
        raise TypeError(f"image must be uint8, uint16 or floating point in [0, 1]; got {image.dtype}")
    return torch.from_numpy(np.array(image, dtype=native, order="C", subok=False))


def _like(degraded: Tensor, like: Tensor) -> Tensor:
    """A tensor as an object of another one's subclass, with copies of its attributes (MONAI's meta data, for one)."""
    if type(like) in (Tensor, nn.Parameter):
        return degraded
    made = degraded.as_subclass(type(like))
    made.__dict__.update({name: copy.copy(value) for name, value in like.__dict__.items()})
    return made


def _ids(id: Any, image: Tensor, layout: str) -> Sequence[str] | Sequence[int]:
    """One id per image."""
    if "B" not in layout:
        if isinstance(id, (list, tuple, Tensor, np.ndarray)):
            raise ValueError(f"id must be one name or whole number for one image; got {id!r:.80}")
        return [0] if id is None else [id]
    if id is None:
        return range(len(image))
    if isinstance(id, str) or not hasattr(id, "__len__") or len(id) != len(image):
        raise ValueError(f"id must be a list of {len(image)} ids, one per image of the batch; got {id!r:.80}")
    ids: Sequence[str] | Sequence[int] = id
    return ids
