"""Poisson-Gaussian noise against torch.poisson + torch.randn on the same data: 512 x 512 grey, batch 16."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.timing import medians
from degrade.keyed import make_keys
from degrade.pixel_noise import fast_noisy, noisy


def noise(batch: int = 16, side: int = 512) -> list[dict[str, Any]]:
    """Milliseconds an image; the image is uniform on [0, 1], eta and sigma are drawn from X-BDCNN's ranges."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((batch, 1, side, side), generator=generator)
    eta, sigma = 0.4 + 1.5 * torch.rand(batch, generator=generator), 20 / 255 * torch.rand(batch, generator=generator)
    photons, keys = eta * 255, make_keys(0, batch)
    p, s = (value.view(-1, 1, 1, 1) for value in (photons, sigma))
    theirs = "torch.poisson + torch.randn"
    seconds = medians(
        {
            theirs: lambda: torch.poisson(image * p).div_(p).add_(torch.randn_like(image).mul_(s)),
            "ours, eager": lambda: noisy(image, photons, sigma, keys),
            "ours, compiled": lambda: fast_noisy(image, photons, sigma, keys),
        }
    )
    return [
        {"noise": name, "ms": 1e3 * value / batch, "times as fast": seconds[theirs] / value}
        for name, value in seconds.items()
    ]
