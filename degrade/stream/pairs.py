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
from degrade.stream.existing import DEGRADED, ExistingPairs
from degrade.stream.lane import FieldOfView, Lane
from degrade.stream.numbers import whole
from degrade.stream.opening import SourceLike, open_source
from degrade.stream.options import StreamOptions, with_defaults
from degrade.stream.order import Lazy
from degrade.stream.passes import Step
from degrade.stream.source import Source, SourceError
from degrade.stream.whole import VIEWS, degraded


class PairStream(Stream[Batch]):
    """Batches of clean images and their degraded versions, made on the device.

    A sample is decoded, converted to float, resized, its field of view estimated, flipped, degraded and cropped in
    this order; degraded views, clean image, mask and maps share the geometry. Recipes that refer to the whole image
    anyway (X-ray noise, cornea, `frame="image"`) degrade the window alone, which is less work. Everything random
    follows from `make_keys(seed, ids, epoch)`: see `Stream` for what that gives.

    Args:
        source: clean images: whatever `open_source` takes; its maps, such as vessels, come along in `Batch.maps`.
        recipe: a `Degradation`, or what `degrade.recipe` takes. None takes the degraded images that the source has, its
            map "degraded": see `from_pairs`.
        batch_size: images in a batch on each process; the last one of an epoch may be smaller.
        views: with K > 1, `degraded` is (B, K, C, H, W): K degradations of each image (SeqLC).
        patches: windows of each image in an epoch (with `crop`); their ids are "ID#0", "ID#1", ... They follow each
            other, so that an image is decoded once.
        field_of_view: makes the masks where the source has none; by default the recipe's, or else the whole frame.
        options: see `StreamOptions`: size, prepare, crop, hflip, vflip, color augmentation, seed, workers, device,
            rank, world_size, drop_last, shuffle, cache_bytes.

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
        recipe: Degradation | str | os.PathLike[str] | None,
        *,
        batch_size: int,
        views: int = 1,
        patches: int = 1,
        field_of_view: FieldOfView | None = None,
        **options: Unpack[StreamOptions],
    ) -> None:
        given = with_defaults("PairStream", options)
        views = whole("views", views, 1)
        self.recipe = recipe if isinstance(recipe, Degradation) or recipe is None else open_recipe(recipe)
        self._sequence = None if self.recipe is None else SeqLC(self.recipe.to(given["device"]), views)
        if self.recipe is None and views != 1:
            raise ValueError(f"views = {views} of pairs that exist: allowed is 1, each pair is a sample")
        if self.recipe is not None:
            field_of_view = field_of_view or self.recipe.field_of_view
        lane = Lane(
            "pairs",
            open_source(source),
            given,
            patches=patches,
            channels=(1, 3) if self.recipe is None else self.recipe.channels,
            field_of_view=field_of_view,
            twins=() if self.recipe is not None else (DEGRADED,),
            sequence=self._sequence,
        )
        if self.recipe is None:
            check_pairs(lane)
        super().__init__(
            [lane],
            [whole("batch_size", batch_size, 1)],
            given,
        )

    @classmethod
    def from_pairs(
        cls,
        pairs: SourceLike | tuple[SourceLike, SourceLike],
        *,
        batch_size: int,
        patches: int = 1,
        field_of_view: FieldOfView | None = None,
        **options: Unpack[StreamOptions],
    ) -> PairStream:
        """Batches of pairs that exist, such as photographs before and after surgery: nothing is degraded.

        Degraded and clean image, mask and maps share crop, flips and color augmentation, which are keyed as ever.
        `Batch.parameters` are those that the pairs were made with, where they are known, else empty.

        Args:
            pairs: a `degrade.pairs.PairedDataset`, "pairs:LOW,HIGH", two sources (low, high) of images with the same
                names, or any source with the map "degraded".
            field_of_view: makes the masks where there are none, from both images of a pair: what both show is inside.
                `degrade.fov.estimate` for fundus photographs; by default the whole frame.
            batch_size, patches, options: as of the class.

        Raises:
            SourceError: the source has no degraded images, or no pair of one size.

        >>> low, high = "phantom:fundus?count=3&size=64&seed=1", "phantom:fundus?count=3&size=64"
        >>> batch = next(iter(PairStream.from_pairs((low, high), batch_size=3, crop=48)))
        >>> batch.degraded.shape, batch.clean.shape
        (torch.Size([3, 3, 48, 48]), torch.Size([3, 3, 48, 48]))
        """
        if isinstance(pairs, tuple) and len(pairs) == 2:
            source: Source = ExistingPairs(open_source(pairs[0]), open_source(pairs[1]))
        else:
            source = open_source(pairs)
        return cls(source, None, batch_size=batch_size, patches=patches, field_of_view=field_of_view, **options)

    def _plan(self, start: list[int]) -> Sequence[Step]:
        steps = self._steps(len(self._lanes[0]), self._batch_sizes[0], start[0])
        return Lazy(len(steps), lambda number: (steps[number],))

    def _assemble(self, images: list[Images]) -> Batch:
        return stored_pair(images[0], self._lanes[0]) if self._sequence is None else pair(images[0], self._sequence)


def check_pairs(lane: Lane) -> None:
    """Raise SourceError where the source of a lane has no degraded images."""
    if DEGRADED not in lane.reader.names:
        raise SourceError(
            f"{lane.source.title} has no degraded images: give pairs, such as pairs:LOW,HIGH or "
            "degrade.pairs.PairedDataset of a folder that 'degrade synth' wrote"
        )


def stored_pair(clean: Images, lane: Lane) -> Batch:
    """A batch of pairs whose degraded images are a map of the source."""
    maps = dict(clean.maps)
    degraded = maps.pop(DEGRADED)
    parameters = lane.parameters(clean.ids, clean.image.device)
    return Batch(clean.image, degraded, clean.mask, parameters, clean.keys, clean.ids, maps)


def pair(clean: Images, sequence: SeqLC) -> Batch:
    """Degrade a batch of images, unless its lane has: (B, C, H, W) for one view, else (B, K, C, H, W)."""
    maps, keys = dict(clean.maps), clean.keys
    views, parameters = maps.pop(VIEWS, None), clean.parameters
    if views is None:
        views, parameters = degraded(sequence, clean.image, keys, clean.mask)
    if sequence.views > 1:
        keys = keyed.view_keys(keys[:, None], torch.arange(sequence.views, device=keys.device))
    return Batch(clean.image, views, clean.mask, parameters, keys, clean.ids, maps)
