"""JPEG files whose pixels are not all there: found before they are taken for pictures.

Where the coded data of a JPEG file end too early but its end marker is there, libjpeg paints the rest gray and only
warns, which Pillow passes over.
"""

from __future__ import annotations

import io
import re
from typing import IO, TYPE_CHECKING, Any

from degrade.errors import ImageError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

_PADDING = 8
"""Bytes put in place of the end marker: libjpeg looks a few bytes ahead of what it needs."""
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # within coded data only restarts and stuffed bytes are allowed
_HUFFMAN_BASELINE, _HUFFMAN = (0xC0, 0xC1), (0xC0, 0xC1, 0xC2)


def strict(file: IO[bytes], image: ImageFile) -> IO[bytes]:
    """The same JPEG file in a form in which Pillow refuses to decode it if coded data are missing.

    In a file of one scan the end marker is replaced by a few bytes: who needs more than these has too little (so that
    fewer missing bytes than that are not noticed). Files
    of several scans (progressive ones) are only held against the least that the first scan can have: a bit a block.

    Args:
        file: seekable.
        image: the same, as opened by Pillow.

    Raises:
        ImageError: there is no scan, or it is too short for the size of the picture.
    """
    file.seek(0)
    data = file.read()
    frame, scan = _places(data)
    if not scan:
        raise ImageError("image file is truncated: it has no pixels")
    ending = _MARKER.search(data, scan)
    end = ending.start() if ending else len(data)
    if frame in _HUFFMAN and 8 * (end - scan) < _blocks(image):
        raise ImageError(f"image file is truncated: {end - scan} bytes of pixels for {image.width} x {image.height}")
    if frame in _HUFFMAN_BASELINE and data[end : end + 2] == b"\xff\xd9":
        return io.BytesIO(data[:end] + bytes(_PADDING))
    return io.BytesIO(data)


def _places(data: bytes) -> tuple[int, int]:
    """The second byte of the frame's marker, and where the coded data of the first scan begin; 0 where not found."""
    frame, place = 0, 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            place += 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            frame = marker
        place += 2 + max(int.from_bytes(data[place + 2 : place + 4], "big"), 2)
        if marker == 0xDA:
            return frame, min(place, len(data))
    return frame, 0


def _blocks(image: ImageFile) -> int:
    """Blocks of 8 x 8 samples of the first component, which every first scan codes."""
    layers: Any = getattr(image, "layer", None) or [(0, 1, 1, 0)]
    most = [max(layer[axis] for layer in layers) for axis in (1, 2)]
    columns, rows = (
        -(-side * layers[0][axis] // (8 * most[axis - 1])) for side, axis in ((image.width, 1), (image.height, 2))
    )
    return int(max(columns * rows, 1))
