"""PairStream: clean images and degraded ones made of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch

from degrade.base import Degradation
from degrade.recipes import recipe as open_recipe
from degrade.rng import keyed
from degrade.sequence import SeqLC
from degrade.stream.base import Stream
from degrade.stream.batch import Batch, Images
from degrade.stream.geometry import Geometry
from degrade.stream.lane import Lane
from degrade.stream.numbers import whole
from degrade.stream.opening import SourceLike, open_source
from degrade.stream.order import Lazy
from degrade.stream.passes import Step


class PairStream(Stream[Batch]):
    """Batches of clean images and their degraded versions, made on the device, for as many epochs as wanted.

    A sample is decoded, brought to float, resized, its field of view found, cropped, flipped and degraded, in this
    order; view, target, mask and maps share the geometry. Everything random follows from
    `make_keys(seed, ids, epoch)`: see `Stream` for what that gives.

    Args:
        source: good images: whatever `open_source` takes; with its `maps`, vessels and the like come along.
        recipe: a `Degradation`, or what `degrade.recipe` takes.
        batch_size: images in a batch on each process; the last one of an epoch may be smaller.
        views: with K > 1, `degraded` is (B, K, C, H, W): K degradations of each image (SeqLC).
        size: the side of the square that images are fitted into; a pair is drawn from, both ends included.
        crop: the side of a square window at a random place.
        hflip, vflip: mirror every second image, on average.
        patches: windows of each image in an epoch; their ids are "ID#0", "ID#1", ... They follow each other, so that
            an image is decoded once.
        seed: other seeds, other pictures.
        workers: processes that decode.
        device: where batches are made and live.
        rank, world_size: which part of the epoch is this process's; by default torch.distributed's.
        drop_last: whole batches only. Samples beyond the last whole batch are left out; where the whole batches do
            not divide by world_size, processes repeat one another's so that all take the same number of steps.
        shuffle: another order in every epoch; False keeps the source's.
        cache_bytes: how much of the decoded images is kept for later epochs.

    Raises:
        SourceError: a source that does not exist or of which no image can be used.
        ValueError: an argument that is not allowed, named with its value.
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
        size: int | tuple[int, int] | None = None,
        crop: int | None = None,
        hflip: bool = False,
        vflip: bool = False,
        patches: int = 1,
        seed: int = 0,
        workers: int = 0,
        device: str | torch.device = "cpu",
        rank: int | None = None,
        world_size: int | None = None,
        drop_last: bool = False,
        shuffle: bool = True,
        cache_bytes: int = 0,
    ) -> None:
        self.recipe = recipe if isinstance(recipe, Degradation) else open_recipe(recipe)
        self.recipe.to(device)
        self._sequence = SeqLC(self.recipe, whole("views", views, 1))
        lane = Lane(
            "pairs",
            open_source(source),
            Geometry(size, crop, hflip, vflip),
            patches=patches,
            seed=seed,
            shuffle=shuffle,
            channels=self.recipe.channels,
            field_of_view=self.recipe.field_of_view,
        )
        super().__init__(
            [lane],
            [whole("batch_size", batch_size, 1)],
            seed=seed,
            workers=workers,
            device=device,
            rank=rank,
            world_size=world_size,
            drop_last=drop_last,
            shuffle=shuffle,
            cache_bytes=cache_bytes,
        )

    def _plan(self, start: list[int]) -> Sequence[Step]:
        steps = self._steps(len(self._lanes[0]), self._batch_sizes[0], start[0])
        return Lazy(len(steps), lambda number: (steps[number],))

    def _assemble(self, images: list[Images]) -> Batch:
        return pair(images[0], self._sequence)


def pair(clean: Images, sequence: SeqLC) -> Batch:
    """Clean images with their degraded ones: (B, C, H, W) for one view, else (B, K, C, H, W)."""
    image, mask, keys = clean.image, clean.mask, clean.keys
    if sequence.views == 1:
        degraded, parameters = sequence.degradation.sample(image, keys, mask)
    else:
        degraded, parameters = sequence.sample(image, keys, mask)
        keys = keyed.view_keys(keys[:, None], torch.arange(sequence.views, device=keys.device))
    return Batch(image, degraded, mask, parameters, keys, clean.ids, clean.maps)
