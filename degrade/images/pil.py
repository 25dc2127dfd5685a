"""Pillow pictures to integer tensors and back: the one conversion for every door of the library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

_ALPHA = {"LA": "L", "RGBA": "RGB"}
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N")
_KEPT = ("L", "RGB", *_ALPHA, "I;16", "I;16L", "I;16B", "I;16N")
_UNKNOWN = {"I": "32-bit integers", "F": "32-bit floats"}


def to_tensor(image: Image) -> Tensor:
    """Convert a Pillow picture of any mode to an integer tensor.

    Palettes, CMYK, YCbCr, HSV and LAB become RGB, black and white (mode 1) becomes grey, alpha is dropped.

    Returns:
        uint8 or (modes I;16, I;16B, ...) uint16 (C, H, W), C = 1 or 3; memory of its own.

    Raises:
        ValueError: mode I or F, whose range is unknown, or a mode that Pillow cannot convert to RGB.

    >>> from PIL import Image
    >>> to_tensor(Image.new("P", (3, 2))).shape
    torch.Size([3, 2, 3])
    """
    pixels = samples(image)
    channels = pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
    return torch.from_numpy(np.array(channels, dtype=channels.dtype.newbyteorder("="), order="C"))


def samples(image: Image, color: bool = False) -> NDArray[Any]:
    """The samples (H, W) or (H, W, 3) of a Pillow picture, as `to_tensor` converts them; with `color` never (H, W)."""
    if image.mode in _UNKNOWN:
        raise ValueError(
            f"a Pillow picture of mode {image.mode} ({_UNKNOWN[image.mode]}): its range is unknown; "
            "convert it to 8 or 16 bits"
        )
    if image.mode in _DEEP:
        return np.asarray(image)
    if image.mode in ("RGBa", "La"):  # premultiplied alpha
        image = image.convert("RGBA" if image.mode == "RGBa" else "LA")
    wanted = "L" if image.mode in ("1", "L", "LA") and not color else "RGB"
    if image.mode != wanted:
        image.info.pop("transparency", None)  # alpha is dropped; converting it would be slow, and warns
        try:
            image = image.convert(wanted)
        except ValueError as error:
            raise ValueError(f"a Pillow picture of mode {image.mode}: {error}") from None
    return np.asarray(image)


def check_returnable(image: Image) -> None:
    """ValueError for a Pillow picture that could not come back in the mode that it came in.

    L, RGB, LA, RGBA (their alpha is kept) and 16-bit grey can; palettes, CMYK and the like cannot.
    """
    if image.mode not in _KEPT:
        raise ValueError(
            f"a Pillow picture of mode {image.mode} cannot come back as it came; give image.convert('RGB') or "
            f"image.convert('L'). Modes that can: {', '.join(_KEPT)}"
        )


def from_tensor(degraded: Tensor, like: Image) -> Image:
    """The Pillow picture of an integer tensor (C, H, W), in the mode of another one, with the alpha of that.

    Raises:
        ValueError: see `check_returnable`.
    """
    from PIL import Image

    check_returnable(like)
    pixels = degraded.cpu().permute(1, 2, 0).numpy()
    pixels = np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    if like.mode in _DEEP:
        big = like.mode == "I;16B"
        return Image.frombytes(like.mode, like.size, pixels.astype(">u2" if big else "<u2").tobytes())
    made = Image.fromarray(pixels)
    if like.mode in _ALPHA:
        made.putalpha(like.getchannel("A"))
    return made
