"""Poisson-Gaussian noise of one image's pixels, a block that stays in cache at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_kernel, kernel
from degrade.jit.rows import aligned, int32_of
from degrade.jit.threads import take
from degrade.ops.poisson_cpu import SCRATCH, poisson_counts
from degrade.rng.cpu import BLOCK, normal_pairs, word_blocks

Array = NDArray[np.float32]


@inner_kernel
def add_noise(
    source: Array, out: Array, photons: Any, sigma: Any, key: Any, stream: Any, clip: bool, begin: int, end: int
) -> None:
    """Poisson(photons x) / photons + N(0, sigma^2) of the pixels of blocks begin to end - 1 of the random stream.

    Args:
        source, out: (n,) float32; they may be the same.
        photons, sigma: float32.
        key: uint64.
        stream: the two words of the noise's.
        clip: to [0, 1].
        begin, end: blocks; `begin` is a multiple of `BLOCK`. Those of an image are 0 to (n + 1) // 2.
    """
    blocks = (len(source) + 1) // 2
    inverse, zero, one = np.float32(1) / photons, np.float32(0), np.float32(1)
    words = np.empty((4, BLOCK), np.uint32)
    memory = aligned(np.int64(SCRATCH + 4), BLOCK)
    rate, counts, scratch, normals = memory[0], memory[1], memory[4:], memory[2:4]
    for lane in range(2):
        for j in range(BLOCK):
            normals[lane, j] = zero
    for start in range(begin, end, BLOCK):
        here = min(BLOCK, end - start)
        word_blocks(words, start, key, stream)
        if sigma != zero:
            normal_pairs(words[2], words[3], normals[0], normals[1])
        for lane in range(2):
            first = lane * blocks + start
            count = min(here, len(source) - first)
            light = source[first : first + count]
            for j in range(count):
                rate[j] = light[j] * photons
            for j in range(count, BLOCK):
                rate[j] = zero
            poisson_counts(int32_of(words[lane]), rate, scratch, counts)
            to, normal = out[first : first + count], normals[lane]
            if clip:
                for j in range(count):
                    to[j] = min(max(counts[j] * inverse + sigma * normal[j], zero), one)
            else:
                for j in range(count):
                    to[j] = counts[j] * inverse + sigma * normal[j]


@kernel
def noisy_parts(
    progress: NDArray[np.int64],
    source: Array,
    out: Array,
    photons: Array,
    sigma: Array,
    keys: NDArray[np.uint64],
    stream: Any,
    clip: bool,
    size: int,
) -> None:
    """The noise of a batch (B, n), until there is no part of `size` blocks left that no thread has taken."""
    blocks = (source.shape[1] + 1) // 2
    parts = (blocks + size - 1) // size
    while True:
        number = take(progress)
        if number >= parts * len(source):
            return
        i, begin = number // parts, number % parts * size
        end = min(begin + size, blocks)
        add_noise(source[i], out[i], photons[i], sigma[i], keys[i], stream, clip, begin, end)
