"""Which sample comes when, and on which process: pure functions of seed, epoch and sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from degrade import keyed


@dataclass(frozen=True)
class Place:
    """What stands at one position of an epoch: an image of the source, and which of its patches, on which round."""

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
        self._rounds: dict[int, list[int]] = {}

    def __len__(self) -> int:
        return self.images * self.patches

    def __getitem__(self, position: int) -> Place:
        round_, place = divmod(position, len(self))
        image, patch = divmod(place, self.patches)
        return Place(self._permutation(round_)[image] if self.shuffle else image, patch, round_)

    def _permutation(self, round_: int) -> list[int]:
        if round_ not in self._rounds:
            numbers = keyed.uniforms(keyed.fold_in(self._key, round_), {"permutation": self.images})["permutation"]
            self._rounds[round_] = torch.argsort(numbers[0], stable=True).tolist()
        return self._rounds[round_]


def steps(total: int, batch_size: int, world_size: int, start: int, drop_last: bool) -> list[range]:
    """The positions that each step of the epoch consumes, on all processes together, from `start` on.

    Every position is in exactly one step; with `drop_last` the positions beyond the last whole batch are in none.
    The processes take the same number of steps, whatever the total is: a collective call in each step never hangs.
    """
    if drop_last:
        total -= total % batch_size
    if total <= start:
        return []
    whole = batch_size * world_size
    ends = [min(start + whole * step, total) for step in range(1, math.ceil((total - start) / whole) + 1)]
    short = not drop_last and batch_size > 1 and len(ends) > 1 and total - ends[-2] < world_size
    if short:  # too few are left for all processes to have one: the step before gives some up
        ends[-2] = total - world_size
    return [range(begin, end) for begin, end in zip([start, *ends], ends, strict=False)]


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


def beside(total: int, whole: int, start: int, count: int) -> list[range]:
    """The positions of a second source in `count` steps of `whole` each, the last one ending at `total` if it can."""
    ends = [start + whole * (step + 1) for step in range(count)]
    if ends and ends[-1] - whole < total < ends[-1]:
        ends[-1] = total
    return [range(begin, end) for begin, end in zip([start, *ends], ends, strict=False)]
