"""Colour of 16 bits a channel, which Pillow's images cannot hold: reading PNG and TIFF, writing TIFF.

Pillow opens such files, but keeps the upper byte of every sample and says nothing. Its decoders choose that byte by
the byte order they are told, so a second pass with the other order yields the lower byte, and the two make the
sample: every compression, predictor, tiling and interlacing that Pillow knows is read exactly.
"""

from __future__ import annotations

import io
import sys
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_PLANAR, _BITS = 284, 258  # TIFF tags; PlanarConfiguration is 2 where each channel is stored by itself
_OTHER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


def _raw_mode(image: ImageFile) -> tuple[str, str]:
    """How Pillow would unpack a row, "RGB;16B" say, as the channels and the order of the bytes: L, B or N (native)."""
    arguments: Any = image.tile[0][3] if image.tile else ""
    name = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    channels, _, order = name.partition(";16") if isinstance(name, str) else ("", "", "")
    return channels, order


def _is_planar(image: ImageFile) -> bool:
    tags: Any = getattr(image, "tag_v2", {})
    return image.mode in ("RGB", "RGBA", "CMYK") and tags.get(_PLANAR) == 2 and 16 in tags.get(_BITS, ())


def is_rgb16(image: ImageFile) -> bool:
    """Whether Pillow, which has opened `image` but not decoded it, would cut its samples from 16 to 8 bits."""
    channels, order = _raw_mode(image)
    # by name, as BMP's "BGR;16" is 5 + 6 + 5 bits, and "I;16" is kept whole
    return _is_planar(image) or (order in _OTHER and channels in ("RGB", "RGBA", "RGBa", "RGBX", "LA", "CMYK"))


def _retile(image: ImageFile, raw_mode: str) -> None:
    """Have `image` decoded as `raw_mode`."""
    tiles: list[Any] = []
    for tile in image.tile:
        arguments = (raw_mode, *tile[3][1:]) if isinstance(tile[3], tuple) else raw_mode
        tiles.append(getattr(tile, "_make", tuple)((*tile[:3], arguments)))  # a plain tuple in older Pillows
    image.tile = tiles


def decode(image: ImageFile, file: IO[bytes]) -> NDArray[np.uint16]:
    """The samples of an image for which `is_rgb16` holds; alpha is dropped.

    Args:
        image: as opened by Pillow's class for its format, not decoded.
        file: the binary file behind it, seekable.

    Returns:
        uint16 (H, W, 3), or (H, W) for grey with alpha.

    Raises:
        ValueError: for 16-bit CMYK.
        ModuleNotFoundError: for TIFF with the channels stored apart, where tifffile is not installed.
    """
    if image.mode == "CMYK":
        raise ValueError("16-bit CMYK is not supported: convert the file to RGB")
    if _is_planar(image):
        return _decode_planar(file)
    channels, order = _raw_mode(image)
    if channels == "LA":  # two samples of two bytes are four bytes: a plain RGBA pixel, in one pass
        _retile(image, "RGBA")
        image.load()
        samples = np.asarray(image)
        return _join(samples[..., 0], samples[..., 1])
    channels = channels.replace("RGBa", "RGBA")  # colors as stored: undoing an alpha would need both bytes at once
    _retile(image, f"{channels};16{order}")
    image.load()
    file.seek(0)
    second = type(image)(file)
    _retile(second, f"{channels};16{_OTHER[order]}")
    second.load()
    return _join(np.asarray(image)[..., :3], np.asarray(second)[..., :3])


def _join(high: NDArray[np.uint8], low: NDArray[np.uint8]) -> NDArray[np.uint16]:
    samples = high.astype(np.uint16)
    samples <<= 8
    samples |= low
    return samples


def _tifffile(purpose: str) -> Any:
    try:
        import tifffile
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{purpose} needs tifffile: pip install degrade-enhance[tiff]") from error
    return tifffile


def _decode_planar(file: IO[bytes]) -> NDArray[np.uint16]:
    library = _tifffile("16-bit TIFF with the channels stored apart")
    file.seek(0)
    with library.TiffFile(file) as tiff:
        samples: NDArray[np.uint16] = tiff.pages[0].asarray()
    return np.moveaxis(samples[:3], 0, -1)


def encode_tiff(samples: NDArray[np.uint16]) -> bytes:
    """A deflated TIFF file of uint16 RGB samples (H, W, 3); ModuleNotFoundError where tifffile is missing."""
    buffer = io.BytesIO()
    library = _tifffile("writing 16-bit RGB TIFF")
    library.imwrite(buffer, samples, photometric="rgb", compression="zlib", metadata=None)
    return buffer.getvalue()
