"""The whole chain of Cofe-Net on a CPU: every path of ours, the per-image script, and the floor of one copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import torch

import degrade
from benchmarks import peers
from benchmarks.peers import Call, Make
from benchmarks.samples import fundus
from benchmarks.timing import Row, Spread, measure, peak_extra_bytes, set_threads

SCRIPT, KINDER, COPY = "per-image script, float64", "per-image script, float32", "copy of the batch"
FEW = 4  # images for the script and for gradients, which take long


def chain(
    sizes: Sequence[int] = (256, 512, 1024),
    batch: int = 16,
    threads: Sequence[int] = (2, 1),
    rounds: int = 7,
    compiled: bool = False,
) -> list[Row]:
    """Type 111 of recipe cofe-net, float32, milliseconds an image; all paths and threads of a size interleaved.

    Args:
        sizes: sides in pixels.
        batch: images in a call.
        threads: numbers of threads; the last column compares each with the last of them.
        rounds: measurements of each.
        compiled: time the gradients under `compile()` too, which compiles for minutes.
    """
    before = torch.get_num_threads()
    try:
        return [row for size in sizes for row in _chain(size, batch, threads, rounds, compiled)]
    finally:
        set_threads(before)


def _chain(size: int, batch: int, threads: Sequence[int], rounds: int, compiled: bool) -> list[Row]:
    candidates, images = _candidates(size, batch, compiled)
    calls, reasons = peers.ready(candidates)
    both = {(count, name): call for count in threads for name, call in calls.items()}
    seconds = measure(both, rounds, before=lambda key: set_threads(key[0]))
    ms = {(count, name): spread * (1e3 / images[name]) for (count, name), spread in seconds.items()}
    return [_row(size, count, name, ms, reasons, threads[-1]) for count in threads for name in candidates]


def _candidates(size: int, batch: int, compiled: bool) -> tuple[dict[str, Make], dict[str, int]]:
    """What to time, and the images in a call of each."""
    image, mask, keys = fundus(batch, size)
    d = degrade.recipe("cofe-net", type="111")
    few = min(FEW, batch)
    leaf = image[:few].clone().requires_grad_()
    target = torch.empty_like(image)

    def definition() -> object:
        with degrade.backend("reference"):
            return d(image[:few], keys[:few], mask[:few])

    def backward() -> None:
        d(leaf, keys[:few], mask[:few]).sum().backward()

    def compiled_backward() -> Call:
        faster = degrade.recipe("cofe-net", type="111")
        faster.compile()

        def call() -> None:
            with degrade.backend("reference"):
                faster(leaf, keys[:few], mask[:few]).sum().backward()

        return call

    candidates: dict[str, Make] = {
        "default": lambda: lambda: d(image, keys, mask),
        "default, field of view estimated": lambda: lambda: d(image, keys),
        "definition, in torch": lambda: definition,
        "with gradients, forward": lambda: lambda: d(leaf, keys[:few], mask[:few]),
        "with gradients, forward and backward": lambda: backward,
    }
    if compiled:
        candidates["with gradients, forward and backward, compiled"] = peers.tried(compiled_backward)
    candidates |= {
        SCRIPT: lambda: _script(size, np.float64),
        KINDER: lambda: _script(size, np.float32),
        COPY: lambda: lambda: target.copy_(image),
    }
    fewer = {name: few for name in candidates if name.startswith(("with gradients", "definition"))}
    return candidates, dict.fromkeys(candidates, batch) | fewer | dict.fromkeys((SCRIPT, KINDER), FEW)


def _script(size: int, dtype: type) -> Call:
    peers.load("cv2")
    from benchmarks.per_image import degrade_image

    image, mask, _ = fundus(FEW, size)
    levels = [np.ascontiguousarray(x.permute(1, 2, 0).mul(255).round().byte().numpy()) for x in image]
    field = mask[0, 0].numpy()

    def call() -> None:
        rng = np.random.default_rng(0)  # the same parameters every time
        for one in levels:
            degrade_image(one, field, rng, dtype)

    return call


def _row(
    size: int,
    count: int,
    name: str,
    ms: Mapping[tuple[int, str], Spread],
    reasons: Mapping[str, str],
    last: int,
) -> Row:
    own = ms.get((count, name))
    return {
        "size": size,
        "threads": count,
        "path": name,
        "ms": reasons.get(name, own),
        "images/s": None if own is None else 1e3 / own.median,
        "times faster than script": peers.ratio(ms.get((count, SCRIPT)), own),
        "than script in float32": peers.ratio(ms.get((count, KINDER)), own),
        "times the copy": peers.ratio(own, ms.get((count, COPY))),
        f"times faster than {last} thread{'s' * (last > 1)}": peers.ratio(ms.get((last, name)), own),
    }


def memory(sizes: Sequence[int] = (256, 512, 1024), batch: int = 16) -> list[Row]:
    """How far memory rises during a call without gradients, the result included, in sizes of the batch."""
    rows = []
    for size in sizes:
        image, mask, keys = fundus(batch, size)
        for name, d in (
            ("cofe-net, type 111", degrade.recipe("cofe-net", type="111")),
            ("cofe-net-paper, type 111", degrade.recipe("cofe-net-paper", type="111")),
        ):
            extra = peak_extra_bytes(partial(d, image, keys, mask))
            megabytes = image.numel() * image.element_size() / 1e6
            rows.append(
                {
                    "recipe": name,
                    "size": size,
                    "batch, MB": megabytes,
                    "extra memory, batches": None if extra is None else extra / 1e6 / megabytes,
                }
            )
    return rows
