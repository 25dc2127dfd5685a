"""The order of samples and their division among processes: pure functions of seed, epoch and sizes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray

from degrade.rng import keyed

LARGEST_SHUFFLED = 2**26
"""Largest number of images that can be shuffled: making a permutation of them takes 2 GB and ten seconds."""

_BLOCKS = 1 << 20

Item = TypeVar("Item")


class Lazy(Sequence[Item]):
    """A sequence whose items are made when they are asked for.

    Args:
        count: its length.
        make: the item at a place from 0 to count - 1.
    """

    def __init__(self, count: int, make: Callable[[int], Item]) -> None:
        self._places, self._make = range(count), make

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return [self._make(place) for place in self._places[index]]
        return self._make(self._places[index])

    def __iter__(self) -> Iterator[Item]:
        return map(self._make, self._places)


@dataclass(frozen=True)
class Place:
    """One position of an epoch: number of the image in the source, number of its patch, and number of the round."""

    index: int
    patch: int = 0
    round: int = 0


class Order:
    """The places of one epoch, in order; past the end it begins another round, in another order.

    The images are shuffled, the patches of one image follow each other: it is decoded once for all of them.

    Args:
        images: how many the source has.
        patches: how many of each there are.
        seed, epoch: of the stream.
        name: of the source within the stream: different names are shuffled independently.
        shuffle: False for the order of the source.
    """

    def __init__(self, images: int, patches: int, seed: int, epoch: int, name: str, shuffle: bool) -> None:
        self.images, self.patches, self.shuffle = images, patches, shuffle
        self._key = keyed.fold_in(keyed.make_keys(seed, 1, epoch), f"stream.order.{name}")
        self._rounds: dict[int, NDArray[np.int32]] = {}

    def __len__(self) -> int:
        return self.images * self.patches

    def __getitem__(self, position: int) -> Place:
        round_, place = divmod(position, len(self))
        image, patch = divmod(place, self.patches)
        return Place(int(self._permutation(round_)[image]) if self.shuffle else image, patch, round_)

    def _permutation(self, round_: int) -> NDArray[np.int32]:
        """The images in the order of keyed numbers, those of `keyed.uniforms` before they are scaled."""
        if round_ not in self._rounds:
            key = keyed.fold_in(self._key, round_)
            numbers = torch.empty(-(-self.images // 4), 4, dtype=torch.int64)
            for start in range(0, len(numbers), _BLOCKS):
                part = numbers[start : start + _BLOCKS]
                words = keyed.words(key, "permutation", start, start + len(part))
                torch.stack([word[0] for word in words], dim=1, out=part)
            order = torch.argsort(numbers.flatten()[: self.images], stable=True)
            self._rounds[round_] = order.numpy().astype(np.int32)
        return self._rounds[round_]


def steps(total: int, batch_size: int, world_size: int, start: int, drop_last: bool) -> Sequence[range]:
    """The positions of an epoch that each step consumes, on all processes together, from `start` on.

    Every position is in exactly one step; with `drop_last` the positions beyond the last whole batch are in none.
    The processes take the same number of steps, whatever the total is: a collective call in each step never hangs.
    """
    if drop_last:
        total -= total % batch_size
    whole = batch_size * world_size
    count = max(0, math.ceil((total - start) / whole))
    last = total - (start + whole * (count - 1))
    short = not drop_last and batch_size > 1 and count > 1 and last < world_size

    def end(step: int) -> int:
        if short and step == count - 2:  # too few are left for all processes to have one: this step gives some up
            return total - world_size
        return min(start + whole * (step + 1), total)

    return Lazy(count, lambda step: range(end(step - 1) if step else start, end(step)))


def share(step: range, batch_size: int, rank: int, world_size: int, drop_last: bool) -> list[int]:
    """The positions of a step that fall to one process: never none, at most `batch_size`.

    Where a step has fewer samples than there are processes (one-sample batches, tiny sources), and with `drop_last`
    fewer whole batches, processes repeat one another's rather than wait for nothing.
    """
    if drop_last:
        begin = rank % (len(step) // batch_size) * batch_size
        return list(step[begin : begin + batch_size])
    begin, end = (len(step) * part // world_size for part in (rank, rank + 1))
    return list(step[begin:end]) or [step[rank % len(step)]]


def secondary_steps(num_samples: int, step_size: int, start: int, num_steps: int) -> Sequence[range]:
    """The positions of a second source in each step of an epoch whose number of steps the first source decides.

    Args:
        num_samples: position at which the last step ends, where that is not further than `step_size` from its start.
        step_size: samples of each step, on all processes together.
        start: position at which the first step begins.
        num_steps: steps of the epoch from there on.
    """

    def end(step: int) -> int:
        usual = start + step_size * (step + 1)
        return num_samples if step == num_steps - 1 and usual - step_size < num_samples < usual else usual

    return Lazy(num_steps, lambda step: range(end(step - 1) if step else start, end(step)))
