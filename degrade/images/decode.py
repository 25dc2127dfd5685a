"""From an open file to the samples of its image, whatever its format: the inner half of `image_io.read`.

Pillow does the decoding. This adds what it lacks: a size limit that belongs to the call and is checked before memory
is taken, 16 bits kept as 16 bits, and silence.
"""

from __future__ import annotations

import contextlib
import importlib
import threading
import warnings
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from degrade.errors import ImageError
from degrade.images import dicom, jpeg, pil

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_READERS = {  # the first bytes of a file -> Pillow's class for it
    b"\x89PNG\r\n\x1a\n": "Png",
    b"\xff\xd8\xff": "Jpeg",
    b"RIFF": "WebP",
    b"II*\0": "Tiff",
    b"MM\0*": "Tiff",
    b"II+\0": "Tiff",
    b"MM\0+": "Tiff",
    b"BM": "Bmp",
    b"GIF8": "Gif",
    **{b"P%d" % number: "Ppm" for number in range(1, 7)},
}
_HEAD = 65536  # bytes of a file looked at before Pillow is
_MAY_WARN = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"GIF8", b"acTL")  # TIFF, thus EXIF, too; GIF; animated PNG
_ORIENTATION, _PHOTOMETRIC, _BITS = 274, 262, 258  # TIFF tags


def decode(
    file: IO[bytes], max_pixels: int, window: dicom.Window | None = None, frame: int | None = None
) -> NDArray[Any]:
    """The samples of the image in a file.

    Args:
        file: open for reading bytes, seekable, at its start.
        max_pixels: the largest width x height accepted.
        window, frame: for DICOM, see `degrade.images.dicom.decode`.

    Returns:
        uint8 or uint16, (H, W) or (H, W, 3).

    Raises:
        ImageError: the file is empty, of no known format, too large, or has pixels of another type.
        Exception: nearly any, from Pillow, for a damaged file.
    """
    from degrade.images import rgb16

    head = file.read(_HEAD)
    if dicom.is_dicom(head):
        file.seek(0)
        with _quiet:
            return dicom.decode(file, max_pixels, window, frame)
    kind = next((kind for magic, kind in _READERS.items() if head.startswith(magic)), None)
    if not head:
        raise ImageError("the file is empty")
    if kind is None or (kind == "WebP" and head[8:12] != b"WEBP"):
        raise ImageError("not an image of a known format (PNG, JPEG, BMP, WebP, TIFF, GIF, PPM, DICOM)")
    if kind == "WebP":  # Pillow's class allocates the picture as it opens it, so the header is read here
        _check_size(*_webp_size(head), max_pixels)
    file.seek(0)
    with _quiet if any(mark in head for mark in _MAY_WARN) else contextlib.nullcontext():
        # not Image.open: that compares the size with a global limit, which is not max_pixels
        module = importlib.import_module(f"PIL.{kind}ImagePlugin")
        opener = getattr(module, f"{kind}ImageFile")
        image: ImageFile = opener(file)
        _check_size(*image.size, max_pixels)
        if kind == "Jpeg":
            image = opener(jpeg.strict(file, image))
        samples = rgb16.decode(image, file) if rgb16.is_rgb16(image) else _samples(image)
        return _upright(samples, image)


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width < 1 or height < 1:
        raise ImageError(f"its size is {width} x {height}")
    if width * height > max_pixels:
        raise ImageError(
            f"{width} x {height} = {width * height:,} pixels are over the limit of {max_pixels:,}; "
            "pass a larger max_pixels if the file is to be trusted"
        )


def _webp_size(head: bytes) -> tuple[int, int]:
    """Width and height from the first 30 bytes of a WebP file (RFC 9649)."""
    kind, body = head[12:16], head[20:30]
    if len(body) < 10:
        raise ImageError("image file is truncated")
    if kind == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    width, height = int.from_bytes(body[6:8], "little"), int.from_bytes(body[8:10], "little")
    return width & 0x3FFF, height & 0x3FFF


def _samples(image: ImageFile) -> NDArray[Any]:
    """Decode what Pillow can hold: uint8 (H, W) or (H, W, 3), or uint16 (H, W)."""
    tags: Any = getattr(image, "tag_v2", {})
    wide = image.mode == "I" and image.format in ("PNG", "PPM")  # 16-bit grey, in 32 bits as Pillow holds it
    if image.mode in ("I", "F") and not wide:
        kind = "32-bit float" if image.mode == "F" else "signed or 32-bit integer"
        raise ImageError(f"{kind} pixels are not supported: convert them to 8 or 16 bits, which have a known range")
    arguments = image.tile[0][3] if image.format == "PPM" and image.mode == "RGB" else None
    if isinstance(arguments, tuple) and arguments[-1] > 255:
        raise ImageError("PPM color of more than 8 bits is not supported: convert the file to PNG or TIFF")
    inverted, bits = tags.get(_PHOTOMETRIC) == 0, tags.get(_BITS, (16,))[0]
    image.load()
    if wide or image.mode.startswith("I;16"):
        samples = np.asarray(image).astype(np.uint16)
        if bits == 12:
            samples = np.bitwise_or(samples << 4, samples >> 8, dtype=np.uint16)
        return ~samples if inverted else samples
    return pil.samples(image, color=image.format == "GIF")  # Pillow calls some GIFs grey, by their palette


def _upright(samples: NDArray[Any], image: ImageFile) -> NDArray[Any]:
    """Turn (H, W, ...) the way that EXIF's orientation, 1 to 8, says it was seen."""
    try:
        orientation = image.getexif().get(_ORIENTATION, 1)  # gone where Pillow has turned it already, as for TIFF
    except Exception:  # damaged metadata: the picture is still good
        orientation = 1
    if orientation in (5, 6, 7, 8):
        samples = samples.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        samples = samples[::-1]
    if orientation in (2, 3, 6, 7):
        samples = samples[:, ::-1]
    return samples


class _Quiet:
    """Silence warnings from Pillow while any thread is within: catch_warnings alone is not safe with threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._caught = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._caught = warnings.catch_warnings()
                self._caught.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *exception: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._caught.__exit__(None, None, None)


_quiet = _Quiet()
