"""Stream: the base class of paired, unpaired and mixed streams."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import distributed
from torch.utils.data import IterableDataset, get_worker_info

from degrade.stream import order
from degrade.stream.ahead import ahead
from degrade.stream.batch import Images, Record
from degrade.stream.frameworks import EpochSampler, StreamLoader
from degrade.stream.lane import Lane
from degrade.stream.loading import Loader
from degrade.stream.numbers import whole
from degrade.stream.options import StreamOptions
from degrade.stream.passes import Pass, Progress, Step
from degrade.stream.pool import StreamError
from degrade.text import shown

Made = TypeVar("Made", bound=Record)


class RepeatedEpochWarning(UserWarning):
    """A shuffled stream repeats an epoch that it has finished: the same pictures in the same order."""


class Stream(IterableDataset[Made], ABC):
    """Batches of one epoch after another, made on the device; nothing is written anywhere.

    What a sample looks like depends on the seed, the epoch and its id alone, and which samples an epoch has depends
    on neither workers nor processes. An image that cannot be used is logged once, listed in `failed`, and replaced
    by another, always the same one.

    Iterating goes through the epoch that `set_epoch` named, 0 at first; doing so again gives the same batches again,
    and warns once of it where the stream is shuffled, unless the epoch was named again. Lightning names the epochs
    through `sampler`; `loader` goes on by itself.
    Iterators are independent: any number of them can be in use at the same time, also nested and in several threads,
    and each gives what it would give alone.

    A stream is an `IterableDataset`. Inside the workers of `DataLoader(stream, batch_size=None, num_workers=W)` each
    worker makes every W-th batch and starts no processes of its own: together they give each batch of the epoch once,
    in the order of a plain loop. `set_epoch` of the stream reaches the workers of the next iteration, unless
    `persistent_workers` keeps their copies of the stream.
    """

    def __init__(
        self,
        lanes: Sequence[Lane],
        batch_sizes: Sequence[int],
        options: StreamOptions,
    ) -> None:
        rank, world_size = options["rank"], options["world_size"]
        if (rank is None) != (world_size is None):
            raise ValueError(f"rank = {rank}, world_size = {world_size}: give both, or neither")
        if rank is not None and world_size is not None:
            rank, world_size = whole("rank", rank), whole("world_size", world_size, 1)
            if not 0 <= rank < world_size:
                raise ValueError(f"rank = {rank}: from 0 to world_size - 1 = {world_size - 1}")
        workers, cache_bytes = whole("workers", options["workers"], 0), whole("cache_bytes", options["cache_bytes"], 0)
        self.device = torch.device(options["device"])
        self._lanes, self._batch_sizes = list(lanes), list(batch_sizes)
        self._seed, self._drop_last = whole("seed", options["seed"]), bool(options["drop_last"])
        self.shuffle = bool(options["shuffle"])
        self._rank, self._world_size = rank, world_size
        self._loader = Loader([lane.reader for lane in lanes], workers, self.device.type == "cuda", cache_bytes)
        self._progress = Progress(len(lanes))
        self._warned = False

    # the interface

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration."""
        return self._progress.epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch: the order, the geometry and the degradations of the next iteration.

        Naming the epoch that `load_state_dict` has restored keeps the place in it. Iterators in use stay in theirs.
        """
        self._progress.set_epoch(whole("epoch", epoch))

    @property
    def sampler(self) -> EpochSampler:
        """For Lightning, which calls its `set_epoch` before each epoch."""
        return EpochSampler(self)

    batch_sampler: None = None
    """Lightning asks for it where there is a `sampler`."""

    def loader(self) -> StreamLoader:
        """This stream as a `torch.utils.data.DataLoader` that goes through another epoch each time it is iterated.

        For Fabric's `setup_dataloaders`, which takes nothing else, for Accelerate, and for loops that do not want to
        count epochs.
        """
        return StreamLoader(self)

    def __len__(self) -> int:
        """Number of batches of a whole epoch on each process."""
        return len(self._plan([0] * len(self._lanes)))

    def __iter__(self) -> Pass[Made]:
        """The rest of the epoch after `load_state_dict`; otherwise all of it."""
        return Pass(self._progress, self._start, self._identity, self._warn)

    @property
    def failed(self) -> dict[str, str]:
        """The ids of the images that could not be used so far, and why."""
        return dict(self._loader.failed)

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch, after the batch that was yielded last: a dictionary of numbers.

        With several iterators in use, neither at their end nor dropped, it is the place of the one advanced last: a
        look at some batches in mid-epoch does not disturb it, unless that iterator is kept. Each iterator has a
        `state_dict` of its own, to the same purpose. `set_epoch` ends the use of the iterators before it.
        """
        if get_worker_info() is not None:
            raise StreamError(
                "a stream in a worker of a DataLoader has only a part of the epoch and no state of its own"
            )
        epoch, position = self._progress.place()
        return {"epoch": epoch, "position": list(position), **self._identity()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the place of another stream, with any number of workers; the next iteration yields the rest.

        Raises:
            ValueError: the state is of a stream with other sources, another seed or batch size.
        """
        if not isinstance(state, Mapping):
            raise ValueError(f"a state is what state_dict gives; got {shown(state)}")
        ours = self._identity()
        for name, value in ours.items():
            if state.get(name) != value:
                raise ValueError(
                    f"the state has {name} = {shown(state.get(name))}, this stream {value}: they cannot be joined"
                )
        epoch, position = whole("epoch", state.get("epoch")), state.get("position")
        if not isinstance(position, Iterable) or len(position := list(position)) != len(self._lanes):
            raise ValueError(f"the state has position = {shown(position)}: a list of {len(self._lanes)} is needed")
        self._progress.restore(epoch, [whole("position", place, 0) for place in position])

    # for subclasses

    @abstractmethod
    def _plan(self, start: list[int]) -> Sequence[Step]:
        """The positions in each lane that the steps from `start` on consume, on all processes together."""

    @abstractmethod
    def _assemble(self, images: list[Images]) -> Made:
        """A batch from the images of each lane."""

    def _warn(self, epoch: int) -> None:
        if self.shuffle and not self._warned:
            self._warned = True
            warnings.warn(
                f"epoch {epoch} was finished and begins again with the same pictures in the same order; call "
                f"set_epoch({epoch + 1}) before the next one, or set_epoch({epoch}) if this is wanted",
                RepeatedEpochWarning,
                stacklevel=3,
            )

    def _steps(self, total: int, batch_size: int, start: int) -> Sequence[range]:
        return order.steps(total, batch_size, self.team()[1], start, self._drop_last)

    # for what drives a stream

    @property
    def naming(self) -> int:
        """Number of calls of `set_epoch` and `load_state_dict` so far."""
        return self._progress.naming

    @property
    def at_end(self) -> bool:
        """Whether the restored place is the end of the epoch."""
        position = self._progress.coming()[1]
        return any(position) and not self._plan(position)

    def team(self) -> tuple[int, int]:
        """This process's rank, and how many there are."""
        if self._rank is not None and self._world_size is not None:
            return self._rank, self._world_size
        if distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        return 0, 1

    def _identity(self) -> dict[str, Any]:
        ids = [lane.fingerprint for lane in self._lanes]
        sizes = [len(lane) for lane in self._lanes]
        return {"seed": self._seed, "samples": sizes, "batch_sizes": self._batch_sizes, "sources": ids}

    def _start(self, epoch: int, position: list[int]) -> Iterator[tuple[Step, Made]]:
        return ahead(self._batches(_worker_share(self._plan(position)), epoch), self.device)

    def _batches(self, steps: Sequence[Step], epoch: int) -> Iterator[tuple[Step, Made]]:
        rank, world_size = self.team()
        orders = [lane.order(epoch) for lane in self._lanes]

        def places(step: Step) -> list[list[order.Place]]:
            shares = zip(step, self._batch_sizes, strict=True)
            mine = [order.share(positions, size, rank, world_size, self._drop_last) for positions, size in shares]
            return [[places[position] for position in some] for places, some in zip(orders, mine, strict=True)]

        requests = ([(lane, p.index) for lane, some in enumerate(places(step)) for p in some] for step in steps)
        for step, decoded in zip(steps, self._loader(requests), strict=True):
            images, begin = [], 0
            with torch.no_grad():
                for lane, some in zip(self._lanes, places(step), strict=True):
                    images.append(lane.images(some, decoded[begin : begin + len(some)], epoch, self.device))
                    begin += len(some)
                batch = self._assemble(images).to(self.device, non_blocking=True)
            yield step, batch

    def __getstate__(self) -> dict[str, Any]:
        """For copies, such as those in a DataLoader's workers, where torch.distributed is not initialized."""
        state = dict(self.__dict__)
        if distributed.is_available() and distributed.is_initialized():
            state["_rank"], state["_world_size"] = self.team()
        return state


def _worker_share(steps: Sequence[Step]) -> Sequence[Step]:
    """Steps that this worker of a DataLoader makes: every W-th of them; all outside such workers."""
    info = get_worker_info()
    if info is None:
        return steps
    places = range(info.id, len(steps), info.num_workers)
    return order.Lazy(len(places), lambda number: steps[places[number]])
