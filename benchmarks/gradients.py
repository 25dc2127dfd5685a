"""Gradients by loops on a CPU, against the same call without: time and memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

import degrade
from benchmarks.samples import fundus
from benchmarks.timing import Row, measure, peak_extra_bytes, set_threads

SOFTNESS = 2 / 512

KINDS = (
    *((name, {"type": "111"}, softness) for name in ("cofe-net", "cofe-net-paper") for softness in (0.0, SOFTNESS)),
    ("cataract", {}, None),
    ("cornea", {}, None),
    ("x-bdcnn", {}, None),
)
"""Recipe, settings, and softness where there is one; cornea and x-bdcnn of grey images."""


def gradients(sizes: Sequence[int] = (256, 512), batch: int = 16, threads: int = 2, rounds: int = 7) -> list[Row]:
    """Float32: milliseconds an image, forwards and backwards, and how far memory rises, in batches.

    The gradients are those in the image alone, and in the image and all parameters. What each is compared with is the
    call without gradients and with hard rims.
    """
    before = torch.get_num_threads()
    set_threads(threads)
    try:
        return [_row(size, batch, rounds, *kind) for size in sizes for kind in KINDS]
    finally:
        set_threads(before)


def _row(size: int, batch: int, rounds: int, name: str, settings: Mapping[str, Any], softness: float | None) -> Row:
    image, mask, keys = fundus(batch, size)
    if name in ("cornea", "x-bdcnn"):
        image = image[:, 1:2].contiguous()
    plain = d = degrade.recipe(name, **settings)
    if softness is not None:
        d = degrade.recipe(name, **settings, softness=softness)
    p = plain.draw(keys, size, size)

    def back(parameters_too: bool) -> Tensor | None:
        leaf = image.detach().requires_grad_()
        leaves = {n: v.detach().requires_grad_(parameters_too and v.is_floating_point()) for n, v in p.items()}
        d.apply(leaf, leaves, mask).sum().backward()
        return leaf.grad

    calls = {"plain": partial(plain.apply, image, p, mask), "image": partial(back, False), "all": partial(back, True)}
    ms = {call: spread * (1e3 / batch) for call, spread in measure(calls, rounds).items()}
    extra = peak_extra_bytes(calls["all"])
    return {
        "recipe": name,
        "size": size,
        "softness": softness,
        "ms without": ms["plain"],
        "ms, image": ms["image"],
        "ms, image and parameters": ms["all"],
        "times without": ms["all"].median / ms["plain"].median,
        "extra memory, batches": None if extra is None else extra / (image.numel() * image.element_size()),
    }
