"""Stream of the trainers that learn from unpaired bad and good images."""

from __future__ import annotations

from typing import Any

from degrade.stream import UnpairedStream
from enhance.trainers.base import Config, Sources


def unpaired(name: str, sources: Sources, config: Config, *, vflip: bool = False, **placing: Any) -> UnpairedStream:
    """Open a stream of bad and good images, `batch_size` of each, resized, cropped and flipped.

    Args:
        name: of the trainer, for the error message.
        sources: with `low`, `low_recipe` or both; ValueError without.
        config: its `batch_size`, `size`, `crop` and `seed` are used.
        vflip: flip upside down too, not only left to right.
        placing: workers, device, rank, world_size and cache_bytes of the stream.
    """
    if sources.low is None and sources.low_recipe is None:
        raise ValueError(f"trainer {name!r} needs real bad images too, or low_recipe: low = None")
    return UnpairedStream(
        sources.low,
        sources.high,
        batch_size=config.batch_size,
        low_recipe=sources.low_recipe,
        size=config.size,
        crop=config.crop,
        hflip=True,
        vflip=vflip,
        seed=config.seed,
        drop_last=True,
        **placing,
    )
