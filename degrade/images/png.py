"""Writing PNG: one filter for all rows, and libdeflate, where it is installed, in place of zlib.

Pillow tries all five filters on each row and compresses by zlib. On degraded photographs the Average filter alone is as
small as its choice, and libdeflate is several times as fast as zlib: docs/speed.md has the figures. Its output does not
depend on the processor.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_AVERAGE = 3
_GREY, _RGB = 0, 2
_FAST_LEVEL, _ZLIB_LEVELS = 1, {8: 4, 16: 1}
"""Of libdeflate, and of zlib by bits: the lowest bits of 16 are noise, on which higher levels gain 1 %."""


def encode(samples: NDArray[Any]) -> bytes:
    """A PNG file.

    Args:
        samples: uint8 or uint16, (H, W) grey or (H, W, 3) RGB.

    >>> encode(np.zeros((1, 1, 3), np.uint16))[:8]
    b'\\x89PNG\\r\\n\\x1a\\n'
    """
    height, width = samples.shape[:2]
    channels, bits = samples.size // (height * width), 8 * samples.dtype.itemsize
    rows = np.ascontiguousarray(samples, dtype=samples.dtype.newbyteorder(">")).view(np.uint8).reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, bits, _RGB if channels == 3 else _GREY, 0, 0, 0)
    data = _compressor(bits)(_filtered(rows, channels * bits // 8))
    return _SIGNATURE + _chunk(b"IHDR", header) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _filtered(rows: NDArray[np.uint8], pixel: int) -> NDArray[np.uint8]:
    """Rows of bytes minus the means, rounded down, of the bytes to the left (a pixel before) and above."""
    left, above = np.zeros_like(rows), np.zeros_like(rows)
    left[:, pixel:], above[1:] = rows[:, :-pixel], rows[:-1]
    filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _AVERAGE
    mean = np.bitwise_xor(left, above)
    mean >>= 1
    mean += np.bitwise_and(left, above, out=left)
    np.subtract(rows, mean, out=filtered[:, 1:])
    return filtered


@functools.cache
def _compressor(bits: int) -> Callable[[NDArray[np.uint8]], bytes]:
    try:
        import deflate
    except ImportError:
        return functools.partial(_zlib, level=_ZLIB_LEVELS[bits])
    return functools.partial(_libdeflate, deflate.zlib_compress)


def _zlib(data: NDArray[np.uint8], level: int) -> bytes:
    return zlib.compress(data.data, level)


def _libdeflate(compress: Callable[[NDArray[np.uint8], int], bytes | bytearray], data: NDArray[np.uint8]) -> bytes:
    return bytes(compress(data, _FAST_LEVEL))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))
