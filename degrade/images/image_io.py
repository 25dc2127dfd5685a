"""Image files to integer tensors and back: the one place, beside the commands, that touches them.

Files hold integers, and reading keeps them: uint8 or uint16 tensors (C, H, W), C = 1 (grey) or 3 (RGB). The float
images in [0, 1] that everything else works on are made by `to_float` and turned back by `to_integer`.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from degrade.errors import ImageError
from degrade.files import write_bytes
from degrade.images.decode import decode
from degrade.images.dicom import Window

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageError",
    "Window",
    "encode",
    "read",
    "read_bytes",
    "resize",
    "to_float",
    "to_integer",
    "write",
    "write_bytes",
]

IMAGE_SUFFIXES = frozenset(
    [".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".dcm"]
)
"""The suffixes of files that `read` reads, in lower case and with the dot. (It goes by content, not by name.)"""

_SCALE = {torch.uint8: 255, torch.uint16: 65535}
_FORMATS = {"png": "PNG", "jpg": "JPEG", "jpeg": "JPEG", "webp": "WebP", "tif": "TIFF", "tiff": "TIFF"}
_AT_ONCE = 1 << 18  # values: a mebibyte of them
_WEBP_METHOD = 2  # in half the time of 4, the default, and 2 % larger at most


def read(
    path: str | os.PathLike[str],
    max_pixels: int = 100_000_000,
    window: Window | None = None,
    frame: int | None = None,
) -> Tensor:
    """The image in a file: PNG, JPEG, BMP, WebP, TIFF, GIF, PPM or DICOM, of a TIFF or GIF the first picture.

    EXIF rotation is applied and alpha dropped; palettes (thus every GIF), CMYK and YCbCr become RGB,
    and black and white becomes grey.

    Args:
        path: the file; its content decides the format, whatever the name.
        max_pixels: the largest width x height accepted, compared with the file's header before anything is decoded.
        window: for DICOM, the grey values shown from black to white: "file" for the file's own window, or
            (center, width); all that its bits can hold if not given. See `degrade.images.dicom.decode`.
        frame: which frame of a DICOM file, from 0; it must be given where there are several.

    Returns:
        uint8 or uint16 (C, H, W), C = 1 or 3. 16-bit grey and RGB stay uint16; 12-bit grey is scaled to 16.

    Raises:
        ImageError: the file is missing, a directory, empty, truncated, no image, larger than max_pixels, or has
            signed, 32-bit or floating-point pixels.
        ValueError: max_pixels is not positive.

    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "dark.png")
    >>> write(path, torch.zeros(3, 4, 5, dtype=torch.uint8))
    >>> read(path).shape
    torch.Size([3, 4, 5])
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ImageError("not a regular file" if not os.path.isdir(path) else "it is a directory")
        with open(path, "rb") as file:
            return _decode(file, max_pixels, window, frame)
    except (ImageError, OSError) as error:
        cause = None if isinstance(error, ImageError) else error
        raise ImageError(f"cannot read {os.fspath(path)!r}: {_reason(error)}") from cause


def read_bytes(
    data: bytes, max_pixels: int = 100_000_000, window: Window | None = None, frame: int | None = None
) -> Tensor:
    """The image in the bytes of a file: as `read`, whose arguments, result and errors it has.

    >>> read_bytes(encode(torch.zeros(3, 4, 5, dtype=torch.uint8), "png")).shape
    torch.Size([3, 4, 5])
    """
    return _decode(io.BytesIO(data), max_pixels, window, frame)


def _decode(file: IO[bytes], max_pixels: int, window: Window | None, frame: int | None) -> Tensor:
    if max_pixels < 1:
        raise ValueError(f"max_pixels must be at least 1, got {max_pixels}")
    try:
        samples = decode(file, max_pixels, window, frame)
    except ImageError:
        raise
    except Exception as error:  # Pillow raises a dozen kinds on broken files, SyntaxError and struct.error among them
        raise ImageError(_reason(error)) from error
    channels = samples[None] if samples.ndim == 2 else samples.transpose(2, 0, 1)
    return torch.from_numpy(channels.copy())


def _reason(error: Exception) -> str:
    from PIL.Image import DecompressionBombError

    if isinstance(error, DecompressionBombError):  # only from the few checks inside Pillow's TIFF and WebP readers
        return "it is beyond Pillow's own limit for this format: raise PIL.Image.MAX_IMAGE_PIXELS"
    if isinstance(error, MemoryError):
        return "not enough memory"
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    line = (text.strip().splitlines() or [""])[0]
    return line if " " in line else f"{type(error).__name__} {line}".strip()  # a number or a name alone says little


def to_float(image: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Integers to [0, 1] by their full scale: uint8 / 255, uint16 / 65535.

    Args:
        image: uint8, uint16, or floating point in [0, 1], which is only converted to `dtype`; any shape.
        dtype: a floating-point type.

    Raises:
        TypeError: another type of image or dtype.
        ValueError: a floating-point image leaves [0, 1] or has NaN.

    >>> to_float(torch.tensor([0, 51, 255], dtype=torch.uint8))
    tensor([0.0000, 0.2000, 1.0000])
    """
    if not dtype.is_floating_point:
        raise TypeError(f"dtype must be a floating-point type, got {dtype}")
    if image.is_floating_point():
        if image.numel() and not bool(((image >= 0) & (image <= 1)).all()):
            low, high = image.aminmax()
            raise ValueError(f"image must be in [0, 1], got values from {low:g} to {high:g}")
        return image.to(dtype)
    if image.dtype not in _SCALE:
        raise TypeError(f"image must be uint8, uint16 or floating point, got {image.dtype}")
    exact = dtype if dtype.itemsize >= 4 else torch.float32  # 65535 is beyond float16
    return image.to(exact).div_(_SCALE[image.dtype]).to(dtype)


def to_integer(image: Tensor, bits: int = 8) -> Tensor:
    """Floats in [0, 1] to the nearest uint8 (bits = 8) or uint16 (bits = 16); values outside are clamped.

    Raises:
        TypeError: image is not floating point.
        ValueError: bits is neither 8 nor 16, or image has NaN.

    >>> to_integer(torch.tensor([-0.1, 0.2, 1.0]))
    tensor([  0,  51, 255], dtype=torch.uint8)
    """
    if bits not in (8, 16):
        raise ValueError(f"bits must be 8 or 16, got {bits}")
    if not image.is_floating_point():
        raise TypeError(f"image must be floating point, got {image.dtype}")
    kind, scale = (torch.uint8, 255) if bits == 8 else (torch.uint16, 65535)
    values = image.detach().contiguous().view(-1)
    levels = torch.empty(image.shape, dtype=kind, device=image.device)
    exact = image.dtype if image.dtype.itemsize >= 4 else torch.float32
    step = _AT_ONCE if image.device.type == "cpu" else max(len(values), 1)
    room = torch.empty(min(step, len(values)), dtype=exact, device=image.device)
    for start in range(0, len(values), step):  # a little at a time: what each pass reads is still in the cache
        some = values[start : start + step]
        whole = torch.clamp(some.to(exact), 0, 1, out=room[: len(some)])
        if bool(whole.sum().isnan()):
            raise ValueError("image must be in [0, 1], got NaN")
        whole.mul_(scale).round_()
        levels.view(-1)[start : start + step].copy_(whole if bits == 8 else whole.to(torch.int32))
    return levels


def encode(image: Tensor, suffix: str, quality: int = 95) -> bytes:
    """The bytes of an image file.

    Args:
        image: uint8 or uint16 (C, H, W), C = 1 (grey) or 3 (RGB), on any device.
        suffix: "png" or "tiff" (lossless, 8 or 16 bits), "jpeg" (full color resolution) or "webp" (both lossy, 8
            bits); "jpg" and "tif" too, with or without the dot. WebP has no grey: it comes back as RGB.
        quality: 1 to 100, of the lossy formats.

    Raises:
        TypeError: image is of another type: see `to_integer`.
        ValueError: image's shape, suffix or quality is none of the above, or the format cannot hold the image.
        ModuleNotFoundError: 16-bit RGB TIFF where tifffile is not installed.

    >>> encode(torch.zeros(1, 8, 8, dtype=torch.uint8), "png")[1:4]
    b'PNG'
    """
    from PIL import Image

    from degrade.images import png, rgb16

    if image.dtype not in _SCALE:
        raise TypeError(f"image must be uint8 or uint16, got {image.dtype}: see to_integer")
    if image.ndim != 3 or image.shape[0] not in (1, 3) or 0 in image.shape:
        raise ValueError(f"image must be (C, H, W) with C = 1 or 3, got shape {tuple(image.shape)}")
    name = _FORMATS.get(suffix.lower().removeprefix("."))
    if name is None:
        raise ValueError(f"suffix must be one of {', '.join(_FORMATS)}, got {suffix!r}")
    if not 1 <= quality <= 100:
        raise ValueError(f"quality must be from 1 to 100, got {quality}")
    deep = image.dtype == torch.uint16
    if deep and name in ("JPEG", "WebP"):
        raise ValueError(f"{name} cannot hold 16 bits a channel: use png or tiff, or to_integer(..., bits=8)")
    samples = np.ascontiguousarray(image.cpu().numpy().transpose(1, 2, 0))
    if name == "PNG":
        return png.encode(samples)
    if deep and samples.shape[2] == 3:
        return rgb16.encode_tiff(samples)
    options: dict[str, dict[str, Any]] = {
        "JPEG": {"quality": quality, "subsampling": 0},
        "WebP": {"quality": quality, "method": _WEBP_METHOD},
        "TIFF": {"compression": "tiff_adobe_deflate"},
    }
    buffer = io.BytesIO()
    try:
        Image.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(buffer, name, **options[name])
    except (OSError, ValueError) as error:  # WebP ends at 16383 pixels a side, JPEG at 65535
        raise ValueError(f"{name} cannot hold {image.shape[2]} x {image.shape[1]} pixels: {error}") from error
    return buffer.getvalue()


def write(path: str | os.PathLike[str], image: Tensor, quality: int = 95) -> None:
    """Encode an image by the path's suffix and write the file whole or not at all; folders are made as needed.

    Arguments and errors are those of `encode`, and OSError where the file cannot be written.
    """
    write_bytes(path, encode(image, Path(path).suffix, quality))


def resize(image: Tensor, size: int) -> Tensor:
    """Fit an image into a square: the longer side becomes `size`, the shorter is padded equally with black.

    Resampling is bilinear with antialiasing: every source pixel counts, at any scale up or down. ("area" gives
    neighbouring pixels unequal numbers of sources unless the scale is whole.)

    Args:
        image: float (C, H, W) or (B, C, H, W) in [0, 1].
        size: pixels, at least 1.

    Returns:
        (C, size, size) or (B, C, size, size) in [0, 1]. Where the padding is odd, the right or the bottom has the pixel
        more.

    Raises:
        TypeError: image is not floating point.
        ValueError: image has another shape, or size is not positive.

    >>> resize(torch.ones(3, 20, 40), 10)[0, :, 0].tolist()
    [0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    if not image.is_floating_point():
        raise TypeError(f"image must be floating point, got {image.dtype}: see to_float")
    if image.ndim not in (3, 4) or 0 in image.shape:
        raise ValueError(f"image must be (C, H, W) or (B, C, H, W), got shape {tuple(image.shape)}")
    if size < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    batch, longer = image if image.ndim == 4 else image[None], max(image.shape[-2:])
    height, width = (max(1, round(side * size / longer)) for side in image.shape[-2:])
    fitted = functional.interpolate(batch, (height, width), mode="bilinear", antialias=True).clamp(0, 1)
    fitted = fitted if image.ndim == 4 else fitted[0]
    top, left = (size - height) // 2, (size - width) // 2
    return functional.pad(fitted, (left, size - width - left, top, size - height - top))
