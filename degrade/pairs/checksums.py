"""Checksums of pixels and of files: BLAKE2b of 128 bits, in hexadecimal digits."""

from __future__ import annotations

import hashlib
from pathlib import Path

from torch import Tensor

_STEP = 1 << 20


def of_pixels(image: Tensor) -> str:
    """The checksum of an image's type, shape and values; how its file is coded does not matter.

    >>> import torch
    >>> of_pixels(torch.zeros(1, 2, 2, dtype=torch.uint8)) == of_pixels(torch.zeros(1, 4, 1, dtype=torch.uint8))
    False
    """
    about = f"{str(image.dtype).removeprefix('torch.')} {tuple(image.shape)} ".encode()
    digest = hashlib.blake2b(about, digest_size=16)
    digest.update(image.cpu().contiguous().numpy().data.cast("B"))
    return digest.hexdigest()


def of_bytes(data: bytes) -> str:
    """The checksum of a file's content."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def of_file(path: Path) -> str:
    """The checksum of a file; OSError where it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    with open(path, "rb") as file:
        while block := file.read(_STEP):
            digest.update(block)
    return digest.hexdigest()
