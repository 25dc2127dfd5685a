"""Constants of Philox4x32-10 and the numbers of named streams, for the definition and its compiled twins."""

from __future__ import annotations

import functools
import hashlib

from torch import Tensor

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
"""Of Philox4x32, table 2 of the paper."""
WEYL = (0x9E3779B9, 0xBB67AE85)
"""What bumps the two words of the key between rounds."""
ROUNDS = 10

Words = tuple[Tensor, Tensor, Tensor, Tensor]
"""Four words of output, int64 in [0, 2**32)."""


@functools.cache
def stream_words(stream: str) -> tuple[int, int]:
    """The two words of the counter's upper half that stand for a named stream: BLAKE2b of its UTF-8 bytes."""
    number = int.from_bytes(hashlib.blake2b(stream.encode(), digest_size=8).digest(), "little")
    return number & 0xFFFFFFFF, number >> 32


def signed(number: int) -> int:
    """The int64 with the lowest 64 bits of `number`."""
    number &= (1 << 64) - 1
    return number - (1 << 64) if number >> 63 else number
