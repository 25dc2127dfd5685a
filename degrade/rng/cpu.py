"""Philox4x32-10 (`keyed.philox`) and normal numbers from it (`keyed.normals`) as vectorised loops.

The words are the definition's, bit for bit. Logarithm, sine and cosine are polynomials: the normals differ from the
definition's by float rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.jit.compiler import inlined_kernel, kernel, loop_kernel
from degrade.jit.rows import int32_of
from degrade.rng.streams import MULTIPLIERS, ROUNDS, WEYL, Words

Array = NDArray[np.float32]

BLOCK = 1024
"""Blocks of four words that are made at once: what a loop writes is in the first-level cache when the next reads it."""

_MULTIPLIERS = (np.uint64(MULTIPLIERS[0]), np.uint64(MULTIPLIERS[1]))
_WEYL = (np.uint32(WEYL[0]), np.uint32(WEYL[1]))
_GRAIN = np.float32(2.0**-32)
_HALF_PI = np.float32(math.pi / 2)
_LN2 = np.float32(math.log(2))
_SINE = tuple(np.float32(c) for c in (1.0, -1 / 6, 1 / 120, -1 / 5040, 1 / 362880))
_COSINE = tuple(np.float32(c) for c in (1.0, -1 / 2, 1 / 24, -1 / 720, 1 / 40320))
_ARTANH = tuple(np.float32(c) for c in (2.0, 2 / 3, 2 / 5, 2 / 7, 2 / 9))


def philox(c0: Tensor, c1: Tensor, c2: Tensor, c3: Tensor, k0: Tensor, k1: Tensor) -> Words:
    """As `keyed.philox`; the counters are contiguous."""
    words = (c0, c1, c2, c3, k0.expand_as(c0), k1.expand_as(c0))
    _rounds(*(words_of(word).reshape(-1) for word in words))
    return c0, c1, c2, c3


def uniforms(keys: Tensor, counters: Tensor, wanted: Tensor) -> Tensor:
    """Numbers (B, n) float64 in [0, 1) of keys (B,): those `wanted` (n,) of the words that counters (4, N) give."""
    return torch.from_numpy(uniform_words(words_of(keys), words_of(counters), wanted.numpy()))


def fold_in(keys: Tensor, data: Tensor, tags: tuple[int, int]) -> Tensor:
    """As `keyed.fold_in`, of one shape; `tags` are the upper half of the counters."""
    folded = fold_words(words_of(keys).reshape(-1), words_of(data).reshape(-1), *tags)
    return torch.from_numpy(folded.view(np.int64)).view(keys.shape)


def words_of(numbers: Tensor) -> NDArray[np.uint64]:
    """int64 as the kernels take it."""
    return numbers.contiguous().numpy().view(np.uint64)


@kernel
def uniform_words(keys: Any, counters: Any, wanted: Any) -> NDArray[np.float64]:
    """`uniforms` of arrays."""
    mask, shift, grain = np.uint64(0xFFFFFFFF), np.uint64(32), 2.0**-32
    drawn = np.empty(4 * counters.shape[1])
    made = np.empty((len(keys), len(wanted)))
    for i in range(len(keys)):
        low, high = keys[i] & mask, keys[i] >> shift
        for n in range(counters.shape[1]):
            a, b, c, d = _mixed(counters[0, n], counters[1, n], counters[2, n], counters[3, n], low, high)
            drawn[4 * n], drawn[4 * n + 1], drawn[4 * n + 2], drawn[4 * n + 3] = a, b, c, d
        for j in range(len(wanted)):
            made[i, j] = drawn[wanted[j]] * grain
    return made


@kernel
def fold_words(keys: Any, data: Any, tag_low: Any, tag_high: Any) -> NDArray[np.uint64]:
    """`fold_in` of arrays (N,); `data` may be one number for all."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    tags = np.uint64(tag_low), np.uint64(tag_high)
    folded = np.empty(len(keys), np.uint64)
    for i in range(len(keys)):
        word = data[i % len(data)]
        a, b, _, _ = _mixed(word & mask, word >> shift, tags[0], tags[1], keys[i] & mask, keys[i] >> shift)
        folded[i] = b << shift | a
    return folded


@kernel
def _rounds(w0: Any, w1: Any, w2: Any, w3: Any, low: Any, high: Any) -> None:
    for j in range(len(w0)):
        w0[j], w1[j], w2[j], w3[j] = _mixed(w0[j], w1[j], w2[j], w3[j], low[j], high[j])


@inlined_kernel
def _mixed(c0: Any, c1: Any, c2: Any, c3: Any, k0: Any, k1: Any) -> tuple[Any, Any, Any, Any]:
    """One block, all words uint64."""
    mask, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    for _ in range(ROUNDS):
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1 = (product1 >> shift) ^ c1 ^ k0, product1 & mask
        c2, c3 = (product0 >> shift) ^ c3 ^ k1, product0 & mask
        k0, k1 = (k0 + np.uint64(_WEYL[0])) & mask, (k1 + np.uint64(_WEYL[1])) & mask
    return c0, c1, c2, c3


@kernel
def add_normals(image: Array, scale: Any, key: Any, stream: Any) -> None:
    """clip(x + scale n) in place, `image` flat; `key` as uint64, `stream` its two words."""
    count = len(image)
    blocks = (count + 3) // 4
    drawn = np.empty((4, BLOCK), np.uint32)
    normals = np.empty((4, BLOCK), np.float32)
    for start in range(0, blocks, BLOCK):
        here = min(BLOCK, blocks - start)
        word_blocks(drawn, start, key, stream)
        for pair in range(2):
            normal_pairs(drawn[2 * pair], drawn[2 * pair + 1], normals[2 * pair], normals[2 * pair + 1])
        for lane in range(4):  # number i is lane i // blocks of block i % blocks
            first = lane * blocks + start
            part, added = image[first : min(first + here, count)], normals[lane]
            for j in range(len(part)):
                part[j] = min(max(part[j] + scale * added[j], np.float32(0)), np.float32(1))


@loop_kernel
def word_blocks(words: NDArray[np.uint32], start: int, key: Any, stream: Any) -> None:
    """`BLOCK` blocks from number `start` on; fewer than 2**32 in all."""
    a, b, c, d = words[0], words[1], words[2], words[3]
    k0, k1 = key & np.uint64(0xFFFFFFFF), key >> np.uint64(32)
    upper0, upper1 = np.uint64(stream[0]), np.uint64(stream[1])
    for j in range(BLOCK):
        w0, w1, w2, w3 = _mixed(np.uint64(start + j), np.uint64(0), upper0, upper1, k0, k1)
        a[j], b[j], c[j], d[j] = np.uint32(w0), np.uint32(w1), np.uint32(w2), np.uint32(w3)


@loop_kernel
def normal_pairs(first: NDArray[np.uint32], second: NDArray[np.uint32], cosine: Array, sine: Array) -> None:
    """Two normals from two words (Box and Muller), for each of a block; see `degrade.ops.gaussian.gaussian`."""
    bits = int32_of(cosine)
    for j in range(len(first)):
        cosine[j] = (np.float32(first[j]) + np.float32(0.5)) * _GRAIN
    for j in range(len(first)):
        # u = 2^e m, m between sqrt(1/2) and sqrt(2): ln u = e ln 2 + 2 artanh((m - 1) / (m + 1))
        exponent = (bits[j] - np.int32(0x3F3504F3)) >> np.int32(23)
        bits[j] = bits[j] - (exponent << np.int32(23))
        sine[j] = np.float32(exponent) * _LN2
    for j in range(len(first)):
        ratio = (cosine[j] - np.float32(1)) / (cosine[j] + np.float32(1))
        square = ratio * ratio
        a, b, c, d, e = _ARTANH
        logarithm = sine[j] + ratio * (a + square * (b + square * (c + square * (d + square * e))))
        radius = math.sqrt(max(np.float32(-2) * logarithm, np.float32(0)))
        quarter = np.float32(second[j]) * (_GRAIN * np.float32(4))  # of a turn, in [0, 4]
        whole = math.floor(quarter + np.float32(0.5))
        angle = (quarter - whole) * _HALF_PI
        square = angle * angle
        a, b, c, d, e = _SINE
        s = angle * (a + square * (b + square * (c + square * (d + square * e))))
        a, b, c, d, e = _COSINE
        t = a + square * (b + square * (c + square * (d + square * e)))
        turned = np.int32(whole) & np.int32(3)
        across, along = (s, t) if turned & np.int32(1) else (t, s)
        cosine[j] = radius * (-across if turned == 1 or turned == 2 else across)
        sine[j] = radius * (-along if turned >= 2 else along)
