"""Poisson-Gaussian noise of one image's pixels, backwards, a block that stays in cache at a time."""

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
Sums = NDArray[np.float64]

_ZERO, _HALF, _ONE = np.float32(0), np.float32(0.5), np.float32(1)
_FAR = np.float32(1e30)  # photons, which no pixel has


@inner_kernel
def noise_adjoint(
    source: Array,
    photons: Any,
    sigma: Any,
    key: Any,
    stream: Any,
    clip: bool,
    begin: int,
    end: int,
    g: Array,
    sums: Sums,
) -> None:
    """From the derivatives in the noisy pixels, `g`, to those in the pixels without noise, in place.

    Adds those in photons and sigma to `sums` (2,). With the count k of the rate r = p x, dk/dr is (1 + k / r) / 2 (see
    `degrade.ops.poisson`), so k / p has the derivatives dk/dr in x and (x - k / p) / (2 p) in the photons p.

    Arguments as of `cpu_pixels.add_noise`.
    """
    blocks, inverse, spread = (len(source) + 1) // 2, _ONE / photons, sigma * photons
    low, high = (_ZERO, photons) if clip else (-_FAR, _FAR)
    words = np.empty((4, BLOCK), np.uint32)
    memory = aligned(np.int64(SCRATCH + 4), BLOCK)
    rate, counts, scratch, normals = memory[0], memory[1], memory[4:], memory[2:4]
    to_photons, to_sigma = 0.0, 0.0
    for start in range(begin, end, BLOCK):
        here = min(BLOCK, end - start)
        word_blocks(words, start, key, stream)
        normal_pairs(words[2], words[3], normals[0], normals[1])
        for lane in range(2):  # number i is lane i // blocks of block i % blocks
            first = lane * blocks + start
            count = max(min(here, len(source) - first), 0)
            light, to, normal = source[first : first + count], g[first : first + count], normals[lane]
            for j in range(count):
                rate[j] = light[j] * photons
            for j in range(count, BLOCK):
                rate[j] = _ZERO
            poisson_counts(int32_of(words[lane]), rate, scratch, counts)
            to_count, to_normal = _ZERO, _ZERO
            for j in range(count):
                noisy = counts[j] + spread * normal[j]  # in photons: where sigma is 0, a count is exact
                kept = to[j] if (noisy >= low) & (noisy <= high) else _ZERO
                to_count += kept * (light[j] - counts[j] * inverse)
                to_normal += kept * normal[j]
                to[j] = kept * (_HALF + _HALF * (counts[j] / rate[j] if rate[j] > _ZERO else _ONE))
            to_photons += float(to_count)
            to_sigma += float(to_normal)
    sums[0] += to_photons * 0.5 * inverse
    sums[1] += to_sigma


@kernel
def adjoint_parts(
    progress: NDArray[np.int64],
    source: Array,
    photons: Array,
    sigma: Array,
    keys: NDArray[np.uint64],
    stream: Any,
    clip: bool,
    size: int,
    g: Array,
    sums: Sums,
) -> None:
    """`noise_adjoint` of a batch (B, n), until there is no part of `size` blocks left that no thread has taken.

    `g` is (B, n), `sums` (B, parts, 2): each part has its own, so that the order of threads does not matter.
    """
    blocks = (source.shape[1] + 1) // 2
    parts = (blocks + size - 1) // size
    while True:
        number = take(progress)
        if number >= parts * len(source):
            return
        i, part = number // parts, number % parts
        begin, end = part * size, min((part + 1) * size, blocks)
        noise_adjoint(source[i], photons[i], sigma[i], keys[i], stream, clip, begin, end, g[i], sums[i, part])
