"""Every table, by the word that the command takes and by its title."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks import accelerator, chain, gradients, noise, recipes, scaling, stages, streams, training
from benchmarks.timing import Row

Table = Callable[[], list[Row]]
GROUPS = ("degrade", "noise", "stream", "train")


def tables(what: str, compiled: bool = False) -> dict[str, Table]:
    """The tables of one of `GROUPS` on the CPU, titles to functions.

    Args:
        what: one of `GROUPS`.
        compiled: the chain's gradients under `compile()` too.
    """
    on_cpu: dict[str, dict[str, Table]] = {
        "degrade": {
            "Cofe-Net, type 111, batch 16, float32, per image": partial(chain.chain, compiled=compiled),
            "Memory of a call without gradients, batch 16": chain.memory,
            "Gradients (Cofe-Net: type 111), batch 16, two threads, float32, per image": gradients.gradients,
            "Single stages, 512 x 512, batch 16, float32, per image": stages.stages,
            "Cost against pixels, batch 16": scaling.pixels,
            "Cost against the batch, 256 x 256": scaling.batches,
            "Recipes, 512 x 512, batch 8, per image": recipes.recipes,
            "degrade synth": recipes.synth,
        },
        "noise": {"Poisson-Gaussian noise, 512 x 512 grey, batch 16, float32, per image": noise.noise},
        "stream": {
            "A training step of a U-Net, 256 x 256, batch 16": streams.overhead,
            "A batch of pairs, Cofe-Net, 256 x 256": streams.shares,
            "PairStream from PNG files, 256 x 256": streams.decoding,
        },
        "train": {"Waiting for the stream, small networks, 128 x 128": training.training},
    }
    return on_cpu[what]


def on_gpu(device: str = "cuda") -> dict[str, Table]:
    """The tables that only a GPU fills."""
    per_image = "float32, per image"
    return {
        f"On the GPU: Cofe-Net, type 111, batch 64, {per_image}": partial(accelerator.chain, device=device),
        f"On the GPU: single stages, 512 x 512, batch 64, {per_image}": partial(stages.stages, batch=64, device=device),
        "On the GPU: cost against pixels, batch 64": partial(scaling.pixels, batch=64, device=device),
        "On the GPU: cost against the batch, 256 x 256": partial(scaling.batches, device=device),
        f"On the GPU: Poisson-Gaussian noise, 512 x 512 grey, batch 64, {per_image}": partial(
            noise.noise, batch=64, threads=(1,), device=device
        ),
    }
