"""Layouts of images: which axes of an array are channels, rows and columns, and the way to (B, C, H, W) and back."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from degrade.ops.constants import SMALLEST_SIDE

LAYOUTS = ("HW", "HWC", "CHW", "BHWC", "BCHW")
"""Axes in order: batch, channels (1 or 3), height and width (at least 32 pixels)."""

_CHANNELS = (1, 3)


def layout_of(shape: Sequence[int], kind: str, channels_first: bool) -> str:
    """The layout of one image or of a batch with a channel axis.

    Args:
        shape: of the array or tensor.
        kind: what it is, for messages.
        channels_first: whether (3, H, W) is one color image, as tensors are; else it is refused, since it could be
            three grey images as well.

    Raises:
        ValueError: no layout fits, or two do.

    >>> layout_of((64, 64, 3), "array", False), layout_of((2, 1, 64, 64), "tensor", True)
    ('HWC', 'BCHW')
    """
    shape = tuple(shape)
    fitting = [layout for layout in LAYOUTS if _fits(shape, layout)]
    batch_of_grey = _fits(shape, "BHW")
    if "CHW" in fitting and shape[0] == 3 and not channels_first:
        raise ValueError(
            f"an {kind} of shape {shape} is ambiguous: either (C, H, W), one color image: give "
            "image.transpose(1, 2, 0); or (B, H, W), three grey images: give image[..., None]"
        )
    if len(fitting) == 1:
        return fitting[0]
    if batch_of_grey and not fitting:
        where = "image[:, None]" if channels_first else "image[..., None]"
        raise ValueError(f"an {kind} of shape {shape} has no channels; if it is (B, H, W), grey images, give {where}")
    allowed = "(C, H, W) or (B, C, H, W)" if channels_first else "(H, W), (H, W, C) or (B, H, W, C)"
    alpha = "; drop the alpha channel: image[..., :3]" if shape[-1:] == (4,) else ""
    raise ValueError(
        f"an {kind} is {allowed} with C = 1 or 3, H and W at least {SMALLEST_SIDE}; got shape {shape}{alpha}"
    )


def to_batch(image: Tensor, layout: str) -> Tensor:
    """A view (B, C, H, W) of an image of this layout."""
    if "C" not in layout:
        image = image[None]
    elif layout.endswith("C"):
        image = image.movedim(-1, -3)
    return image if "B" in layout else image[None]


def from_batch(image: Tensor, layout: str) -> Tensor:
    """The inverse of `to_batch`."""
    if "B" not in layout:
        image = image[0]
    if "C" not in layout:
        return image[0]
    return image.movedim(-3, -1) if layout.endswith("C") else image


def _fits(shape: tuple[int, ...], layout: str) -> bool:
    if len(shape) != len(layout):
        return False
    sizes = dict(zip(layout, shape, strict=True))
    return min(sizes["H"], sizes["W"]) >= SMALLEST_SIDE and sizes.get("C", 1) in _CHANNELS
