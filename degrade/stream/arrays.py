"""Images in memory and map-style data sets as sources."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from degrade.images.pil import to_tensor
from degrade.stream.ids import Numbered
from degrade.stream.source import Sample, Source, SourceError


class MapDataset(Protocol):
    """Anything with a length that gives its items by number, such as `torch.utils.data.Dataset`s do."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class TensorSource(Source):
    """The images of a tensor (N, C, H, W): uint8, uint16, or floating point in [0, 1]. Ids are numbers, "000000" on."""

    def __init__(self, images: Tensor) -> None:
        if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
            raise SourceError(f"a tensor of images is (N, C, H, W) with C = 1 or 3; got shape {tuple(images.shape)}")
        self._images = images.detach().cpu()
        self.title = f"a tensor {tuple(images.shape)}"
        self.ids = _numbers(len(images))

    def load(self, index: int) -> Sample:
        return {"image": self._images[index]}


class DatasetSource(Source):
    """The items of a map-style data set. Ids are numbers, "000000" on.

    An item is an image; or a sequence with the image first (labels and all else are ignored); or a mapping with the
    image under "image" and its maps, extra images, under their names ("mask" is the field of view). An image is a
    `PIL.Image`, an array (H, W), (H, W, C) or (C, H, W), or a tensor (H, W) or (C, H, W): uint8, uint16, or floating
    point in [0, 1]; maps may be bool or of any integer type too (see `degrade.images.maps`).
    """

    def __init__(self, dataset: MapDataset) -> None:
        if not len(dataset):
            raise SourceError(f"the data set {type(dataset).__name__} is empty")
        self._dataset = dataset
        self.title = f"a data set {type(dataset).__name__} of {len(dataset)}"
        self.ids = _numbers(len(dataset))

    def load(self, index: int) -> Sample:
        item = self._dataset[index]
        if isinstance(item, Mapping):
            if "image" not in item:
                raise ValueError(f"an item that is a mapping must have 'image'; it has {', '.join(map(str, item))}")
            return {name: _image(value, is_map=name != "image") for name, value in item.items() if _is_image(value)}
        return {"image": _image(item[0] if isinstance(item, (tuple, list)) else item)}


def _numbers(count: int) -> Numbered:
    return Numbered("", 6, range(count))


def _is_image(value: Any) -> bool:
    from PIL import Image

    return isinstance(value, Image.Image) or (isinstance(value, (np.ndarray, Tensor)) and value.ndim in (2, 3))


def _image(value: Any, is_map: bool = False) -> Tensor:
    """uint8, uint16 or float (C, H, W); of a map any integers, which `degrade.images.maps` understands or refuses."""
    from PIL import Image

    if is_map and isinstance(value, Image.Image) and value.mode == "I":
        value = np.asarray(value)
    if isinstance(value, Image.Image):
        return to_tensor(value)
    if isinstance(value, np.ndarray):
        if value.ndim == 3 and value.shape[2] in (1, 3) and value.shape[0] not in (1, 3):
            value = value.transpose(2, 0, 1)
        value = torch.from_numpy(value.astype(value.dtype.newbyteorder("="), copy=True))
    if not isinstance(value, Tensor):
        raise TypeError(f"an image is a PIL image, an array or a tensor; got {type(value).__name__}")
    return value[None] if value.ndim == 2 else value
