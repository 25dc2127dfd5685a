"""Poisson-Gaussian noise for every pixel from keys, in torch, in blocks that stay in the cache.

Stream "pixel" of each key: words 0 and 1 of block i are the Poisson uniforms of pixels i and i + ceil(n / 2) of the
sample's n, words 2 and 3 their two normals. A uniform is (word + 1/2) 2^-32: tails of 1.2e-10 are cut.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from degrade.backend import Operation, run
from degrade.ops.gaussian import gaussian
from degrade.ops.poisson import poisson_unchecked
from degrade.rng import keyed
from degrade.rng.streams import stream_words

OPERATION = Operation(
    "poisson-gaussian",
    "degrade.models.poisson_gaussian.cpu:noisy",
    "degrade.models.poisson_gaussian.gpu:noisy",
    "degrade.models.poisson_gaussian.cpu_gradient:noisy",
    in_float32=True,
)


def noisy(image: Tensor, photons: Tensor, sigma: Tensor, keys: Tensor, clip: bool = False) -> Tensor:
    """Poisson(photons image) / photons + N(0, sigma^2), pixel by pixel.

    The same numbers for a sample alone and in any batch. It is one pass over the pixels, on a CPU and on a GPU, and
    needs no memory but the result; with gradients on a CPU, another pass back, and on a GPU the graph's tensors.
    Differentiable in all but the keys (see `poisson`).

    Args:
        image: (B, C, H, W), at least 0; float16 and bfloat16 are computed in float32.
        photons: (B,), float32, or float64 for such images: photons at image value 1, above 0.
        sigma: (B,), of that type: on the image's scale.
        keys: (B,) int64.
        clip: to [0, 1].

    Returns:
        (B, C, H, W), of the image's type.
    """
    gradients = _gradients(image, photons, sigma)

    def refuses(_: str) -> str:
        return "images are float64" if OPERATION.in_float32 and image.dtype == torch.float64 else ""

    result: Tensor = run(OPERATION, _noisy, (image, photons, sigma, keys, clip), image.device, gradients, refuses)
    return result


def _noisy(image: Tensor, photons: Tensor, sigma: Tensor, keys: Tensor, clip: bool) -> Tensor:
    return _finished(_by_halves(image.to(photons.dtype), photons, sigma, keys), image.dtype, clip)


def _gradients(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _finished(result: Tensor, dtype: torch.dtype, clip: bool) -> Tensor:
    if clip:
        result = result.clamp(0, 1) if result.requires_grad else result.clamp_(0, 1)
    return result.to(dtype)


def _by_halves(image: Tensor, photons: Tensor, sigma: Tensor, keys: Tensor) -> Tensor:
    count = math.prod(image.shape[1:])
    blocks = -(-count // 2)
    flat = functional.pad(image.flatten(1), (0, 1)) if count % 2 else image.flatten(1)
    halves = flat.view(-1, 2, blocks)
    on_cpu = image.device.type == "cpu" and not torch.compiler.is_compiling()
    rows = 1 if on_cpu else max(image.shape[0], 1)
    columns = keyed.BLOCK if on_cpu else max(blocks, 1)
    gradients = _gradients(image, photons, sigma)
    output = None if gradients else torch.empty_like(halves, memory_format=torch.contiguous_format)
    done = []
    each = zip(*(torch.split(tensor, rows) for tensor in (halves, photons, sigma, keys)), strict=True)
    for row, (light, p, s, k) in enumerate(each):
        parts = []
        for part, start in zip(torch.split(light, columns, -1), range(0, blocks, columns), strict=True):
            result = _block(part, p.view(-1, 1, 1), s.view(-1, 1, 1), k, start)
            if output is None:
                parts.append(result)
            else:
                output[row * rows : (row + 1) * rows, :, start : start + columns] = result
        if output is None:
            done.append(torch.cat(parts, -1))
    result = torch.cat(done) if output is None else output
    return result.flatten(1)[:, :count].reshape(image.shape)


_TAGS = stream_words("pixel")


def _block(light: Tensor, photons: Tensor, sigma: Tensor, keys: Tensor, start: int) -> Tensor:
    """Blocks `start` and on of the stream: light (b, 2, n) -> noisy (b, 2, n)."""
    index = torch.arange(start, start + light.shape[-1], device=light.device).expand(light.shape[0], -1)
    k0, k1 = ((keys >> shift & 0xFFFFFFFF)[:, None] for shift in (0, 32))
    c2, c3 = (torch.full_like(index, tag) for tag in _TAGS)
    w0, w1, w2, w3 = keyed.philox(index & 0xFFFFFFFF, index >> 32, c2, c3, k0, k1)
    uniform = torch.stack((w0, w1), 1).to(torch.float64).add_(0.5).mul_(2.0**-32)
    normal = torch.stack(gaussian(w2, w3, light.dtype), 1)
    return poisson_unchecked(light * photons, uniform) / photons + normal * sigma
