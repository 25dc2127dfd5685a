"""Packing of decoded images into one block of shared memory, which costs one file descriptor per request."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from degrade.stream.reading import Decoded, Reading

_ALIGNMENT = 64


@dataclass(frozen=True)
class _Piece:
    """Where an image lies in the block."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int

    @property
    def bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize

    def of(self, block: Tensor) -> Tensor:
        return block[self.start : self.start + self.bytes].view(self.dtype).view(self.shape)


@dataclass(frozen=True)
class Packed:
    """A `Reading` whose images lie in one block of shared memory: uint8 (N,)."""

    block: Tensor
    pieces: list[dict[str, _Piece]]
    reading: Reading
    """Without its images."""


def pack(reading: Reading) -> Packed:
    """Copies the images into shared memory."""
    pieces, end = [], 0
    for entry in reading.decoded:
        mine = {}
        for name, image in entry.images.items():
            mine[name] = piece = _Piece(image.dtype, tuple(image.shape), end)
            end += -(-piece.bytes // _ALIGNMENT) * _ALIGNMENT
        pieces.append(mine)
    block = torch.empty(end, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]
    for entry, mine in zip(reading.decoded, pieces, strict=True):
        for name, image in entry.images.items():
            mine[name].of(block).copy_(image)
    return Packed(block, pieces, _with_images(reading, [{} for _ in pieces]))


def unpack(packed: Packed, pinned: bool) -> Reading:
    """The reading, with images that are views of the block, or of a copy of it in page-locked memory."""
    block = packed.block.pin_memory() if pinned else packed.block
    images = [{name: piece.of(block) for name, piece in mine.items()} for mine in packed.pieces]
    return _with_images(packed.reading, images)


def _with_images(reading: Reading, images: list[dict[str, Tensor]]) -> Reading:
    decoded = [
        Decoded(entry.asked, entry.index, some, entry.binary, entry.kinds)
        for entry, some in zip(reading.decoded, images, strict=True)
    ]
    return Reading(decoded, reading.failures, reading.fatal, reading.notes)
