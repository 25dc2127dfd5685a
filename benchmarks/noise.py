"""Poisson-Gaussian noise: ours against torch.poisson + torch.randn and against deepinv's, on the same data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

import degrade
from benchmarks import peers
from benchmarks.peers import Call, Make
from benchmarks.timing import Row, Spread, measure, set_threads

PLAIN, DEEPINV, COPY = "torch.poisson + torch.randn", "deepinv, PoissonGaussianNoise", "copy of the batch"
LEVELS = 255


def noise(
    side: int = 512,
    batch: int = 16,
    threads: Sequence[int] = (2, 1),
    rounds: int = 9,
    device: str = "cpu",
) -> list[Row]:
    """Milliseconds an image, grey, float32, unclipped; uniform on [0, 1], eta and sigma drawn from X-BDCNN's ranges.

    Each image has its own eta and sigma, deepinv's model takes them too (gain = 1 / photons). Only ours repeats a
    sample's noise in any batch and has useful gradients. On a CPU torch.poisson works on one thread.
    """
    before = torch.get_num_threads()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((batch, 1, side, side), generator=generator).to(device)
    d = degrade.recipe("x-bdcnn", clip=False)
    p = {name: value.to(device) for name, value in d.draw(degrade.make_keys(0, batch), side, side).items()}
    candidates = _others(image, p["eta"] * LEVELS, p["sigma"] / LEVELS)

    def definition() -> object:
        with degrade.backend("reference"):
            return d.apply(image, p)

    candidates |= {"ours": lambda: lambda: d.apply(image, p), "ours, the definition in torch": lambda: definition}
    calls, reasons = peers.ready(candidates)
    both = {(count, name): call for count in threads for name, call in calls.items()}
    try:
        seconds = measure(both, rounds, device=device, before=lambda key: set_threads(key[0]))
    finally:
        set_threads(before)
    table = []
    for count in threads:
        ms = {name: seconds[count, name] * (1e3 / batch) for name in calls}
        table += [{"threads": count, **_row(name, ms, reasons)} for name in candidates]
    return table


def _row(name: str, ms: Mapping[str, Spread], reasons: Mapping[str, str]) -> Row:
    own = ms.get(name)
    fastest = min((ms[peer].median for peer in (PLAIN, DEEPINV) if peer in ms), default=None)
    ours = name.startswith("ours") and own is not None and fastest is not None
    return {
        "noise": name,
        "ms": reasons.get(name, own),
        "times as fast as torch": peers.ratio(ms.get(PLAIN), own),
        "as deepinv": peers.ratio(ms.get(DEEPINV), own),
        "ours / fastest peer": own.median / fastest if ours and own and fastest else None,
        "times the copy": peers.ratio(own, ms.get(COPY)),
    }


def _others(image: torch.Tensor, photons: torch.Tensor, sigma: torch.Tensor) -> dict[str, Make]:
    wide, scale = (value.view(-1, 1, 1, 1) for value in (photons, sigma))
    target = torch.empty_like(image)

    def plain() -> Call:
        return lambda: torch.poisson(image * wide).div_(wide).add_(torch.randn_like(image).mul_(scale))

    def deepinv() -> Call:
        model = peers.load("deepinv").physics.PoissonGaussianNoise(gain=1 / photons, sigma=sigma).to(image.device)
        return lambda: model(image)

    return {PLAIN: plain, DEEPINV: peers.tried(deepinv), COPY: lambda: lambda: target.copy_(image)}
