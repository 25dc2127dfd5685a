"""Small images for the tests of image files."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import torch
from PIL import Image


def noise(channels, height=13, width=17, bits=8, seed=0):
    dtype = np.uint8 if bits == 8 else np.uint16
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 2**bits, (channels, height, width), dtype=dtype))


def smooth(channels, height=48, width=64):
    y, x = np.mgrid[:height, :width]
    planes = [100 + 80 * np.sin(x / (9 + c)) * np.cos(y / 11) for c in range(channels)]
    return torch.from_numpy(np.stack(planes).astype(np.uint8))


def hwc(image):
    array = image.numpy().transpose(1, 2, 0)
    return array[..., 0] if array.shape[2] == 1 else array


def save(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, colour_type, raw, interlace=0, bits=16):
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, interlace)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
