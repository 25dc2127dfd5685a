"""Poisson-Gaussian noise on a CPU without gradients: one pass over parts of images, which threads share.

The same random words for the same pixels as `reference.noisy`, the same counts but for 1 in 50,000 or fewer (see
`degrade.ops.poisson_cpu`), the rest to rounding. A sample's numbers are the same alone and in any batch, with any
number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.jit.threads import share, threads_for
from degrade.memory import empty
from degrade.models.poisson_gaussian.cpu_pixels import noisy_parts
from degrade.rng.cpu import BLOCK, words_of
from degrade.rng.streams import stream_words

Array = NDArray[np.float32]

PART = 32 * BLOCK
"""Blocks of the random stream, two pixels each, that a thread takes at a time."""


def noisy(image: Tensor, photons: Tensor, sigma: Tensor, keys: Tensor, clip: bool) -> Tensor:
    """`reference.noisy` of images that are float32, float16 or bfloat16, all on the CPU.

    Args:
        image: (B, C, H, W), at least 0; computed in float32.
        photons: (B,) photons at image value 1, above 0; photons * image may be up to 1e6.
        sigma: (B,) on the image's scale.
        keys: (B,) int64.
        clip: to [0, 1].

    Returns:
        (B, C, H, W), contiguous, of the image's type.
    """
    out = empty(image.shape, torch.float32)
    if image.numel():
        source = image.detach().to(torch.float32).contiguous()
        photons, sigma = (tensor.detach().to(torch.float32).contiguous() for tensor in (photons, sigma))
        pixels = source.flatten(1).numpy(), out.flatten(1).numpy()
        add_noise(*pixels, photons.numpy(), sigma.numpy(), words_of(keys), clip)
    return out.to(image.dtype)


def add_noise(source: Array, out: Array, photons: Array, sigma: Array, keys: NDArray[np.uint64], clip: bool) -> None:
    """The same for contiguous arrays: (B, n) float32 into `out`, which may be `source`; (B,) float32, and (B,)."""
    progress = np.zeros(1, np.int64)
    parts = len(source) * -(-source.shape[1] // (2 * PART))
    work: Any = (source, out, photons, sigma, keys, stream_words("pixel"), clip, PART)
    share(lambda _: noisy_parts(progress, *work), threads_for(parts))
