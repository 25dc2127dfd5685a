"""The stream of the trainers that learn from bad and good images without pairs."""

from __future__ import annotations

from typing import Any

from degrade.stream import UnpairedStream
from enhance.trainers.base import Config, Sources


def unpaired(name: str, sources: Sources, config: Config, *, vflip: bool = False, **placing: Any) -> UnpairedStream:
    """Bad and good images, `batch_size` of each, resized, cut out and flipped as the configuration says.

    Args:
        name: of the trainer, for the error.
        sources: with `low`; ValueError without.
        config: its `batch_size`, `size`, `crop` and `seed` count.
        vflip: upside down too, not only left to right.
        placing: workers, device, rank and world size, as the loop gives them.
    """
    if sources.low is None:
        raise ValueError(f"trainer {name!r} needs real bad images too: low = None")
    return UnpairedStream(
        sources.low,
        sources.high,
        batch_size=config.batch_size,
        size=config.size,
        crop=config.crop,
        hflip=True,
        vflip=vflip,
        seed=config.seed,
        drop_last=True,
        **placing,
    )
