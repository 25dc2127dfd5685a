"""UnpairedStream: bad images and good ones, unrelated; MixedStream: pairs and real bad images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Unpack

from degrade.base import Degradation
from degrade.recipes import recipe as open_recipe
from degrade.sequence import SeqLC
from degrade.stream import order
from degrade.stream.base import Stream
from degrade.stream.batch import Images, MixedBatch, UnpairedBatch
from degrade.stream.existing import DEGRADED
from degrade.stream.halves import halves
from degrade.stream.lane import FieldOfView, Lane
from degrade.stream.numbers import whole
from degrade.stream.opening import SourceLike, open_source
from degrade.stream.options import StreamOptions, with_defaults
from degrade.stream.pairs import check_pairs, pair, stored_pair
from degrade.stream.passes import Step
from degrade.stream.source import Source


class UnpairedStream(Stream[UnpairedBatch]):
    """As many images of low quality as of high quality, from two sources that are shuffled independently.

    An epoch is over when each image of the larger source has come once; the smaller one begins another round, in
    another order, as often as it takes.

    The images of low quality may be made on the fly: with `low_recipe` the images of `low` are good ones, and are
    degraded by it, anew in each epoch and round. Without `low` one half of `high` takes its place, so that no image
    is on both sides (see `degrade.stream.halves.halves`); which half follows from `seed`.

    Args:
        low, high: whatever `open_source` takes. `low` may be None with `low_recipe`.
        batch_size: images of each on each process.
        field_of_view: makes the masks where a source has none: `degrade.fov.estimate` for fundus photographs; by
            default that of `low_recipe`, or else the whole frame.
        low_recipe: a `Degradation`, or what `degrade.recipe` takes; `batch.low.parameters` are what it drew. None
            leaves the images of `low` as they are.
        options: see `StreamOptions`.

    Raises:
        ValueError: neither `low` nor `low_recipe` is given, or `low_recipe` and one source for both sides.
        SourceError: a source that cannot be used, or that has too few images for two halves.

    >>> stream = UnpairedStream("phantom:cornea?count=2&size=64", "phantom:cornea?count=3&size=64&seed=1", batch_size=2)
    >>> [(len(batch.low), len(batch.high)) for batch in stream]
    [(2, 2), (1, 1)]
    >>> stream = UnpairedStream(None, "phantom:fundus?count=4&size=64", batch_size=2, low_recipe="cataract")
    >>> [sorted(batch.low.ids + batch.high.ids) for batch in stream]
    [['fundus_0000', 'fundus_0001', 'fundus_0002', 'fundus_0003']]
    """

    def __init__(
        self,
        low: SourceLike | None,
        high: SourceLike,
        *,
        batch_size: int,
        field_of_view: FieldOfView | None = None,
        low_recipe: Degradation | str | os.PathLike[str] | None = None,
        **options: Unpack[StreamOptions],
    ) -> None:
        given = with_defaults("UnpairedStream", options)
        self.low_recipe = _recipe(low_recipe, given)
        channels: tuple[int, ...] = (1, 3)
        if self.low_recipe is not None:
            channels, field_of_view = self.low_recipe.channels, field_of_view or self.low_recipe.field_of_view
        sides = _sides(low, high, self.low_recipe, whole("seed", given["seed"]))
        self._sequence = None if self.low_recipe is None else SeqLC(self.low_recipe, 1)
        lanes = [
            Lane(name, source, given, channels=channels, field_of_view=field_of_view, sequence=sequence)
            for name, source, sequence in zip(("low", "high"), sides, (self._sequence, None), strict=True)
        ]
        super().__init__(
            lanes,
            [whole("batch_size", batch_size, 1)] * 2,
            given,
        )

    def _plan(self, start: list[int]) -> Sequence[Step]:
        steps = self._steps(max(len(lane) for lane in self._lanes), self._batch_sizes[0], start[0])
        return order.Lazy(len(steps), lambda number: (steps[number],) * 2)

    def _assemble(self, images: list[Images]) -> UnpairedBatch:
        low, high = images
        if self._sequence is None:
            return UnpairedBatch(low, high)
        made = pair(low, self._sequence)
        return UnpairedBatch(replace(low, image=made.degraded, parameters=made.parameters, maps=made.maps), high)


def _recipe(recipe: Degradation | str | os.PathLike[str] | None, options: StreamOptions) -> Degradation | None:
    """A recipe on the device of the stream."""
    if recipe is None:
        return None
    found = recipe if isinstance(recipe, Degradation) else open_recipe(recipe)
    found.to(options["device"])
    return found


def _sides(low: SourceLike | None, high: SourceLike, recipe: Degradation | None, seed: int) -> tuple[Source, Source]:
    """The sources of both sides; halves of one where there is no other."""
    if low is None and recipe is None:
        raise ValueError("low = None: give a source of bad images, or low_recipe, which makes them of good ones")
    good = open_source(high)
    if low is None:
        return halves(good, seed)
    if recipe is not None and (low is high or (isinstance(low, (str, os.PathLike)) and low == high)):
        raise ValueError(f"low = high = {good.title}: with low_recipe give low = None, which takes halves of it")
    return open_source(low), good


class MixedStream(Stream[MixedBatch]):
    """Synthetic pairs and real images without a clean counterpart, in each step some of both.

    Source: T-MAGE-Net (Guo et al., "Bridging Synthetic and Real Images", IEEE TMI 2023), whose batches of 24 are 16
    labelled and 8 unlabelled images. The pairs decide how long an epoch is; the real images come in an order of
    their own that begins another round whenever it ends.

    Args:
        source, recipe: of the pairs, as of `PairStream`; with recipe = None they exist, as of `PairStream.from_pairs`.
        unlabelled: the real images: whatever `open_source` takes.
        batch_size: pairs of each step on each process.
        unlabelled_size: real images of each step on each process.
        field_of_view: as of `PairStream`.
        options: see `StreamOptions`.

    >>> stream = MixedStream(
    ...     "phantom:fundus?count=4&size=64", "cofe-net", "phantom:fundus?count=3&size=64&seed=1",
    ...     batch_size=2, unlabelled_size=1,
    ... )
    >>> [(len(batch.labelled), len(batch.unlabelled)) for batch in stream]
    [(2, 1), (2, 1)]
    """

    def __init__(
        self,
        source: SourceLike,
        recipe: Degradation | str | os.PathLike[str] | None,
        unlabelled: SourceLike,
        *,
        batch_size: int,
        unlabelled_size: int,
        field_of_view: FieldOfView | None = None,
        **options: Unpack[StreamOptions],
    ) -> None:
        given = with_defaults("MixedStream", options)
        self.recipe = _recipe(recipe, given)
        self._sequence = None if self.recipe is None else SeqLC(self.recipe, 1)
        if self.recipe is not None:
            field_of_view = field_of_view or self.recipe.field_of_view
        lanes = [
            Lane(
                name,
                open_source(images),
                given,
                channels=(1, 3) if self.recipe is None else self.recipe.channels,
                field_of_view=field_of_view,
                twins=twins if self.recipe is None else (),
                sequence=sequence,
            )
            for name, images, twins, sequence in (
                ("pairs", source, (DEGRADED,), self._sequence),
                ("unlabelled", unlabelled, (), None),
            )
        ]
        if self.recipe is None:
            check_pairs(lanes[0])
        super().__init__(
            lanes,
            [whole("batch_size", batch_size, 1), whole("unlabelled_size", unlabelled_size, 1)],
            given,
        )

    def _plan(self, start: list[int]) -> Sequence[Step]:
        labelled = self._steps(len(self._lanes[0]), self._batch_sizes[0], start[0])
        batches, rest = divmod(len(self._lanes[0]), self._batch_sizes[0])
        total = (batches + (rest > 0 and not self._drop_last)) * self._batch_sizes[1]
        unlabelled = order.secondary_steps(total, self._batch_sizes[1] * self.team()[1], start[1], len(labelled))
        return order.Lazy(len(labelled), lambda number: (labelled[number], unlabelled[number]))

    def _assemble(self, images: list[Images]) -> MixedBatch:
        labelled, unlabelled = images
        if self._sequence is None:
            return MixedBatch(stored_pair(labelled, self._lanes[0]), unlabelled)
        return MixedBatch(pair(labelled, self._sequence), unlabelled)
