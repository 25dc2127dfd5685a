"""Seeded damage to bytes."""

from __future__ import annotations

import random
from collections.abc import Callable

_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def flip(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice([1, 2, 8, 40])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def flip_head(data: bytearray, rng: random.Random) -> bytearray:
    for _ in range(rng.choice([1, 2, 4])):
        data[rng.randrange(min(len(data), 200))] = rng.randrange(256)
    return data


def cut(data: bytearray, rng: random.Random) -> bytearray:
    return data[: rng.randrange(len(data))]


def drop(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    return data[:start] + data[start + rng.randrange(1, 200) :]


def repeat(data: bytearray, rng: random.Random) -> bytearray:
    start = rng.randrange(len(data))
    part = data[start : start + rng.randrange(1, 400)]
    return data[:start] + part * rng.choice([2, 3, 50]) + data[start:]


def fill(data: bytearray, rng: random.Random) -> bytearray:
    start, length = rng.randrange(len(data)), rng.randrange(1, 300)
    data[start : start + length] = bytes([rng.choice([0, 0xFF, 0x20])]) * length
    return data


def number(data: bytearray, rng: random.Random) -> bytearray:
    """A large or small number where there may be a length or a size."""
    size = rng.choice([2, 4])
    start = rng.randrange(min(max(len(data) - size, 1), 400))
    value = rng.choice(_NUMBERS) & ((1 << 8 * size) - 1)
    data[start : start + size] = value.to_bytes(size, rng.choice(["big", "little"]))
    return data


def append(data: bytearray, rng: random.Random) -> bytearray:
    return data + rng.randbytes(rng.randrange(1, 500))


KINDS: tuple[Callable[[bytearray, random.Random], bytearray], ...] = (
    flip, flip_head, cut, drop, repeat, fill, number, append,
)  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> tuple[bytes, str]:
    """Bytes with one or two kinds of damage, and which."""
    changed, names = bytearray(data), []
    for _ in range(rng.choice([1, 1, 2])):
        kind = rng.choice(KINDS)
        changed = kind(changed, rng) if changed else changed
        names.append(kind.__name__)
    return bytes(changed), "+".join(names)
