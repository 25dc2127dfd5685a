"""Stream of the trainers that learn from pairs: degraded on the fly, or pairs that exist."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from degrade.rng import keyed
from degrade.stream import Batch, Images, PairStream
from enhance.cases import field_of_view
from enhance.trainers.base import Config, Sources


class FixedPairs(PairStream):
    """Pairs of which each image has one degraded version for the whole run, the one of epoch 0."""

    def _assemble(self, images: list[Images]) -> Batch:
        (clean,) = images
        keys = keyed.make_keys(self._seed, clean.ids).to(clean.keys.device)
        return super()._assemble([replace(clean, keys=keys)])


def paired(sources: Sources, config: Config, *, views: int = 1, fixed: bool = False, **options: Any) -> PairStream:
    """Open a stream of pairs of the good images, `batch_size` in a batch with `views` degradations each.

    Of pairs that exist each is a sample, and a batch has `batch_size * views` of them.

    Args:
        sources: its `high` is used, and `pairs` says whether it has the degraded images.
        config: its `batch_size`, `size`, `crop`, `recipe` and `seed` are used.
        views: degradations of each image.
        fixed: one degraded version of each image for the whole run, see `FixedPairs`.
        options: further options of the stream.
    """
    given: dict[str, Any] = {"size": config.size, "crop": config.crop, "seed": config.seed, **options}
    if sources.pairs:
        size = config.batch_size * views
        return PairStream.from_pairs(sources.high, batch_size=size, field_of_view=field_of_view, **given)
    kind = FixedPairs if fixed else PairStream
    return kind(sources.high, config.recipe, batch_size=config.batch_size, views=views, **given)
