"""PairStream: clean images and degraded ones made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Unpack

import torch

from degrade.base import Degradation
from degrade.recipes import recipe as open_recipe
from degrade.rng import keyed
from degrade.sequence import SeqLC
from degrade.stream.base import Stream
from degrade.stream.batch import Batch, Images
from degrade.stream.lane import Lane
from degrade.stream.numbers import whole
from degrade.stream.opening import SourceLike, open_source
from degrade.stream.options import StreamOptions, with_defaults
from degrade.stream.order import Lazy
from degrade.stream.passes import Step


class PairStream(Stream[Batch]):
    """Batches of clean images and their degraded versions, made on the device.

    A sample is decoded, converted to float, resized, its field of view estimated, cropped, flipped and degraded in
    this order; degraded views, clean image, mask and maps share the geometry. Everything random follows from
    `make_keys(seed, ids, epoch)`: see `Stream` for what that gives.

    Args:
        source: clean images: whatever `open_source` takes; its maps, such as vessels, come along in `Batch.maps`.
        recipe: a `Degradation`, or what `degrade.recipe` takes.
        batch_size: images in a batch on each process; the last one of an epoch may be smaller.
        views: with K > 1, `degraded` is (B, K, C, H, W): K degradations of each image (SeqLC).
        patches: windows of each image in an epoch (with `crop`); their ids are "ID#0", "ID#1", ... They follow each
            other, so that an image is decoded once.
        options: see `StreamOptions`: size, crop, hflip, vflip, seed, workers, device, rank, world_size, drop_last,
            shuffle, cache_bytes.

    Raises:
        SourceError: a source that does not exist or of which no image can be used.
        ValueError: an argument that is not allowed, named with its value.
        TypeError: a keyword argument that does not exist.
        StreamError: while iterating, if a worker process dies.

    >>> stream = PairStream("phantom:fundus?count=6&size=96", "cofe-net", batch_size=4, crop=64, seed=1)
    >>> [(batch.degraded.shape, batch.ids[0]) for batch in stream]
    [(torch.Size([4, 3, 64, 64]), 'fundus_0005'), (torch.Size([2, 3, 64, 64]), 'fundus_0002')]
    """

    def __init__(
        self,
        source: SourceLike,
        recipe: Degradation | str | os.PathLike[str],
        *,
        batch_size: int,
        views: int = 1,
        patches: int = 1,
        **options: Unpack[StreamOptions],
    ) -> None:
        given = with_defaults("PairStream", options)
        self.recipe = recipe if isinstance(recipe, Degradation) else open_recipe(recipe)
        self.recipe.to(given["device"])
        self._sequence = SeqLC(self.recipe, whole("views", views, 1))
        lane = Lane(
            "pairs",
            open_source(source),
            given,
            patches=patches,
            channels=self.recipe.channels,
            field_of_view=self.recipe.field_of_view,
        )
        super().__init__(
            [lane],
            [whole("batch_size", batch_size, 1)],
            given,
        )

    def _plan(self, start: list[int]) -> Sequence[Step]:
        steps = self._steps(len(self._lanes[0]), self._batch_sizes[0], start[0])
        return Lazy(len(steps), lambda number: (steps[number],))

    def _assemble(self, images: list[Images]) -> Batch:
        return pair(images[0], self._sequence)


def pair(clean: Images, sequence: SeqLC) -> Batch:
    """Degrade a batch of images: (B, C, H, W) for one view, else (B, K, C, H, W)."""
    image, mask, keys = clean.image, clean.mask, clean.keys
    if sequence.views == 1:
        degraded, parameters = sequence.degradation.sample(image, keys, mask)
    else:
        degraded, parameters = sequence.sample(image, keys, mask)
        keys = keyed.view_keys(keys[:, None], torch.arange(sequence.views, device=keys.device))
    return Batch(image, degraded, mask, parameters, keys, clean.ids, clean.maps)
