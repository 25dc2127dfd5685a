"""Anything that finds structures in images: our segmenters, exported programs, and functions of other packages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from degrade.images import image_io
from enhance.outsiders import OutsiderError, is_outsider, open_outsider
from enhance.resizing import unfit
from enhance.segmenter import load_segmenter


class SegmentationError(ValueError):
    """A segmenter that cannot be opened, or gives something else than probabilities."""


class StructureFinder(Protocol):
    """A segmenter, whoever made it.

    Attributes:
        structures: names of what it finds; empty where it does not say.
        size: side of the images that it is for, pixels; None for any.
    """

    @property
    def structures(self) -> tuple[str, ...]: ...

    @property
    def size(self) -> int | None: ...

    def segment(self, image: Tensor, mask: Tensor) -> Tensor:
        """(B, C, H, W) and (B, 1, H, W) in [0, 1] -> probabilities (B, N, H, W), 0 outside the mask."""


class Outsider:
    """A function of images (B, C, H, W) to probabilities (B, N, H, W) as a segmenter.

    Args:
        function: called without gradients.
        name: for messages.
    """

    structures: tuple[str, ...] = ()
    size: int | None = None

    def __init__(self, function: Callable[[Tensor], object], name: str) -> None:
        self._function, self._name = function, name

    @torch.no_grad()
    def segment(self, image: Tensor, mask: Tensor) -> Tensor:
        found = self._function(image)
        if not isinstance(found, Tensor):
            raise SegmentationError(f"{self._name} returned a {type(found).__name__}, not a tensor (B, N, H, W)")
        found = found[:, None] if found.ndim == 3 else found
        if found.ndim != 4 or len(found) != len(image) or found.shape[-2:] != image.shape[-2:]:
            raise SegmentationError(
                f"{self._name} returned {tuple(found.shape)} for images {tuple(image.shape)}: (B, N, H, W) is needed"
            )
        found = found.float()
        low, high = (float(end) for end in found.aminmax())
        if not (low >= 0 and high <= 1):
            raise SegmentationError(f"{self._name} returned values in [{low:g}, {high:g}]: probabilities in [0, 1]")
        return found * mask


def open_finder(text: str, device: torch.device) -> StructureFinder:
    """A segmenter by a text: a file of `enhance segmenter`, FILE.pt2, or module:function; on a device.

    Raises:
        SegmentationError: none of them, or a file that cannot be used.
    """
    if is_outsider(text):
        try:
            return Outsider(open_outsider(text, device), text)
        except OutsiderError as error:
            raise SegmentationError(str(error)) from None
    try:
        return load_segmenter(text).to(device)
    except (ValueError, OSError) as error:
        raise SegmentationError(str(error)) from None


def find_structures(finder: StructureFinder, image: Tensor, mask: Tensor, size: int | None = None) -> Tensor:
    """Probabilities (N, H, W) of one image (C, H, W) with its field of view (1, H, W).

    Args:
        finder: the segmenter, on the image's device.
        image, mask: in [0, 1].
        size: side that the image is fitted into for the segmenter; the result has the image's size again.
    """
    mask = mask.to(image)
    if size is None or max(image.shape[-2:]) == min(image.shape[-2:]) == size:
        return finder.segment(image[None], mask[None])[0]
    small, inside = image_io.resize(image, size), (image_io.resize(mask, size) > 0.5).to(image)
    found = finder.segment(small[None], inside[None])
    return unfit(found, *image.shape[-2:])[0] * mask
