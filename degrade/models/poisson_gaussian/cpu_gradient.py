"""Poisson-Gaussian noise on a CPU with gradients: the loops of `cpu`, and loops for the way back.

Nothing is kept between the two ways but what was given. A sample's derivatives are the same alone and in any batch,
with any number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.jit.threads import share, threads_for
from degrade.memory import empty
from degrade.models.poisson_gaussian import cpu
from degrade.models.poisson_gaussian.cpu_gradient_pixels import adjoint_parts
from degrade.rng.cpu import words_of
from degrade.rng.streams import stream_words

Array = NDArray[np.float32]
Definition = Callable[[Tensor, Tensor, Tensor, Tensor, bool], Tensor]


def noisy(definition: Definition, image: Tensor, photons: Tensor, sigma: Tensor, keys: Tensor, clip: bool) -> Tensor:
    """`cpu.noisy` with derivatives in image, photons and sigma; second ones are the definition's."""
    result: Tensor = _Noisy.apply(definition, clip, keys, image, photons, sigma)  # type: ignore[no-untyped-call]
    return result


def noise_adjoint(
    source: Array, photons: Array, sigma: Array, keys: NDArray[np.uint64], clip: bool, g: Array, most_threads: int
) -> NDArray[np.float64]:
    """From the derivatives in noisy pixels, `g`, to those in the pixels without noise, in place.

    Args:
        source: (B, n) float32, at least 0.
        photons, sigma: (B,) float32, at image value 1 and on the image's scale.
        keys: (B,) uint64.
        clip: whether noisy pixels were clipped to [0, 1].
        g: (B, n) float32, contiguous.
        most_threads: 1 where a thread of a batch calls.

    Returns:
        (B, 2) the derivatives in photons and in sigma.
    """
    parts = -(-source.shape[1] // (2 * cpu.PART))
    sums, progress = np.zeros((len(source), parts, 2)), np.zeros(1, np.int64)
    work: Any = (source, photons, sigma, keys, stream_words("pixel"), clip, cpu.PART, g, sums)
    share(lambda _: adjoint_parts(progress, *work), min(most_threads, len(source) * parts))
    total: NDArray[np.float64] = sums.sum(1)
    return total


class _Noisy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, definition: Definition, clip: bool, keys: Tensor, image: Tensor, photons: Tensor, sigma: Tensor
    ) -> Tensor:
        ctx.definition, ctx.clip = definition, clip
        ctx.save_for_backward(keys, image, photons, sigma)
        return cpu.noisy(image, photons, sigma, keys, clip)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        keys, *values = ctx.saved_tensors
        needed = ctx.needs_input_grad[3:]
        twice = torch.is_grad_enabled()  # derivatives of these derivatives may be asked for
        found = (_by_autograd if twice else _by_loops)(ctx, keys, values, gradients[0])
        return None, None, None, *(value if wanted else None for value, wanted in zip(found, needed, strict=True))


def _by_loops(ctx: Any, keys: Tensor, values: list[Tensor], gradient: Tensor) -> list[Tensor | None]:
    image, *levels = (value.detach().to(torch.float32).contiguous() for value in values)
    back = empty(image.shape, torch.float32).copy_(gradient)
    photons, sigma = (level.numpy() for level in levels)
    sums = np.zeros((len(image), 2))
    if image.numel():
        flat, g = image.flatten(1).numpy(), back.flatten(1).numpy()
        sums = noise_adjoint(flat, photons, sigma, words_of(keys), ctx.clip, g, threads_for(flat.size))
    found = [back, *torch.from_numpy(sums).unbind(1)]
    return [each.to(value.dtype) for each, value in zip(found, values, strict=True)]


def _by_autograd(ctx: Any, keys: Tensor, values: list[Tensor], gradient: Tensor) -> list[Tensor | None]:
    """Through the definition, with derivatives of their own."""
    with torch.enable_grad():
        own = [value.view_as(value) for value in values]  # one may be made of another, which must not count
        wanted = [value for value in own if value.requires_grad]
        found = torch.autograd.grad(
            ctx.definition(*own, keys, ctx.clip), wanted, gradient, create_graph=True, allow_unused=True
        )
    left = iter(found)
    return [next(left) if value.requires_grad else None for value in own]
