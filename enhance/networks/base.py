"""EnhancementNetwork: the one base class. A network takes an image of any size and gives it back enhanced."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from enhance.networks.blocks import pad_to_multiple

CHANNELS = (1, 3)


class EnhancementNetwork(nn.Module, ABC):
    """A network that enhances images: `forward` for training, `enhance` for everything else.

    `forward` takes images in the network's own `value_range`, with sides that are multiples of `multiple`, and returns
    what its losses need: the image, or a named tuple with a field or property `image`.

    Class attributes (`multiple` may depend on the options and is then an attribute of the instance):
        name: what `enhance.network` calls it.
        paper: where it comes from.
        value_range: of the images that `forward` takes and gives.
        multiple: sides have to be multiples of it; `enhance` pads.
        smallest: no side may be shorter; `enhance` pads.
        training_size: side of the images it was published with.
        image_channels: of the images it was published for.
        takes_mask: whether `forward` looks at the field of view.
    """

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
        """The pass that is trained: see the class."""

    def enhance(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """Enhances images of any height and width.

        Works in the mode (`eval`, `train`), the gradient context and the autocast context it is called in.

        Args:
            image: (B, C, H, W) floats in [0, 1], C the network's `channels`. Sides that the network cannot take are
                padded at the right and the bottom by reflection, by repetition where that needs more than there is.
            mask: (B, 1, H, W) in [0, 1], 1 inside the field of view: what is outside becomes black. Only networks
                with `takes_mask` look at it before the end.

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
            return  # the values are not there yet, or would have to be waited for
        for what, tensor in {"image": image, "mask": mask}.items():
            if tensor is not None and tensor.numel():
                low, high = (float(end) for end in torch.aminmax(tensor.detach()))
                if not (low >= 0 and high <= 1):  # false for NaN as well
                    raise ValueError(
                        f"{kind}.enhance: {what} must lie in [0, 1] and be finite; it spans [{low:g}, {high:g}]"
                    )


def check_whole(name: str, value: Any, least: int = 1) -> int:
    """`value` if it is a whole number of at least `least`; ValueError otherwise.

    >>> check_whole("width", 0)
    Traceback (most recent call last):
    ValueError: width = 0: allowed is a whole number of at least 1
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} = {value!r}: allowed is a whole number of at least {least}")
    return value


def check_wholes(name: str, values: Any, length: int) -> tuple[int, ...]:
    """`values` as a tuple if they are `length` whole numbers of at least 1; ValueError otherwise."""
    given = tuple(values) if isinstance(values, Iterable) and not isinstance(values, str) else ()
    if len(given) != length or any(isinstance(n, bool) or not isinstance(n, int) or n < 1 for n in given):
        raise ValueError(f"{name} = {values!r}: allowed are {length} whole numbers of at least 1")
    return given


def check_one_of(name: str, value: Any, allowed: tuple[Any, ...]) -> None:
    """ValueError if `value` is none of those allowed, or equal to one but of another type."""
    if not any(value == one and type(value) is type(one) for one in allowed):
        raise ValueError(f"{name} = {value!r}: allowed is one of {', '.join(map(repr, allowed))}")
