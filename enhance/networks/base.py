"""EnhancementNetwork: base class of networks that enhance images of any size."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from enhance.networks.blocks import pad_to_multiple

CHANNELS = (1, 3)


class EnhancementNetwork(nn.Module, ABC):
    """Network that enhances images: `forward` is for training, `enhance` for use.

    `forward` takes images in the network's own `value_range`, with sides that are multiples of `multiple`, and returns
    what its losses need: the image, or a named tuple with a field or property `image`.

    Class attributes (`multiple` may depend on the options and is then an attribute of the instance):
        name: for `enhance.network`.
        paper: its source.
        value_range: of the input and output images of `forward`.
        multiple: sides must be multiples of it; `enhance` pads.
        smallest: sides must not be shorter; `enhance` pads.
        training_size: side of the images in its paper.
        image_channels: channels of the images in its paper.
        takes_mask: whether `forward` uses the field of view.
    """

    trained_size: int | None = None
    """Side that images were resized to when these weights were trained, pixels; None for images of any size."""

    name: ClassVar[str]
    paper: ClassVar[str]
    value_range: ClassVar[tuple[float, float]]
    multiple: int
    smallest: ClassVar[int]
    training_size: ClassVar[int]
    image_channels: ClassVar[int]
    takes_mask: ClassVar[bool] = False

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_one_of("channels", channels, CHANNELS)
        self.channels = channels

    @abstractmethod
    def forward(self, image: Tensor) -> Any:
        """Forward pass for training; see the class."""

    def enhance(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Enhance images of any height and width, in the current mode (`eval`, `train`), gradient and autocast context.

        Args:
            image: (B, C, H, W) floats in [0, 1], C the network's `channels`. Sides of another length than
                the network needs are padded at the right and the bottom by reflection, or repetition if too short.
            mask: (B, 1, H, W) in [0, 1], 1 inside the field of view; pixels outside become black. Only networks
                with `takes_mask` use it before the end.

        Returns:
            (B, C, H, W) in [0, 1], of the image's type.

        Raises:
            TypeError: image or mask is no float tensor.
            ValueError: a wrong shape; on a CPU also values outside [0, 1] or NaN.
        """
        self._check(image, mask)
        height, width = image.shape[-2:]
        low, high = self.value_range
        dtype = next(self.parameters()).dtype
        padded = pad_to_multiple(image.to(dtype), self.multiple, self.smallest) * (high - low) + low
        if mask is not None:
            mask = mask.to(dtype)
        if self.takes_mask:
            result = self(padded, None if mask is None else pad_to_multiple(mask, self.multiple, self.smallest))
        else:
            result = self(padded)
        enhanced: Tensor = result if isinstance(result, Tensor) else result.image
        enhanced = ((enhanced[..., :height, :width].to(dtype) - low) / (high - low)).clamp(0, 1)
        if mask is not None and not self.takes_mask:
            enhanced = enhanced * mask
        return enhanced.to(image.dtype)

    def _check(self, image: Tensor, mask: Tensor | None) -> None:
        kind = type(self).__name__
        for what, tensor in {"image": image, "mask": mask}.items():
            if what == "mask" and tensor is None:
                continue
            if not isinstance(tensor, Tensor) or not tensor.is_floating_point():
                got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
                raise TypeError(f"{kind}.enhance: {what} must be a float tensor in [0, 1]; got {got}")
        if image.ndim != 4 or image.shape[1] != self.channels or min(image.shape[-2:]) < 1:
            raise ValueError(
                f"{kind}.enhance: image must be (B, C, H, W) with C = {self.channels}, the network's channels; "
                f"got shape {tuple(image.shape)}"
            )
        if mask is not None and mask.shape != (image.shape[0], 1, *image.shape[-2:]):
            raise ValueError(
                f"{kind}.enhance: mask must be (B, 1, H, W) for images {tuple(image.shape)}; got {tuple(mask.shape)}"
            )
        if torch.compiler.is_compiling() or image.device.type != "cpu":
            return  # values are unknown, or a check would wait for the GPU
        for what, tensor in {"image": image, "mask": mask}.items():
            if tensor is not None and tensor.numel():
                low, high = (float(end) for end in torch.aminmax(tensor.detach()))
                if not (low >= 0 and high <= 1):  # false for NaN as well
                    raise ValueError(
                        f"{kind}.enhance: {what} must lie in [0, 1] and be finite; it spans [{low:g}, {high:g}]"
                    )


def check_whole(name: str, value: Any, least: int = 1) -> int:
    """Return `value` if it is a whole number of at least `least`; raise ValueError otherwise.

    >>> check_whole("width", 0)
    Traceback (most recent call last):
    ValueError: width = 0: allowed is a whole number of at least 1
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} = {value!r}: allowed is a whole number of at least {least}")
    return value


def check_wholes(name: str, values: Any, length: int) -> tuple[int, ...]:
    """Return `values` as a tuple if they are `length` whole numbers of at least 1; raise ValueError otherwise."""
    given = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else ()
    if len(given) != length or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in given):
        raise ValueError(f"{name} = {values!r}: allowed are {length} whole numbers of at least 1")
    return given


def check_one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """Raise ValueError unless `value` is one of `allowed`, with the same type."""
    if not any(value == one and type(value) is type(one) for one in allowed):
        raise ValueError(f"{name} = {value!r}: allowed is one of {', '.join(map(repr, allowed))}")
