"""Iterators of a stream, any number of them at the same time, and the place that its state describes."""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from degrade.stream.batch import Record

Made = TypeVar("Made", bound=Record)
Step = Sequence[range]


class Pass(Iterator[Made]):
    """Iterator of a stream: the batches of the rest of an epoch, independent of all other passes.

    Epoch and place are taken from the stream when the first batch is asked for, not before: an iterator that nobody
    advances takes nothing.

    Args:
        progress: of the stream.
        start: makes the batches from an epoch and the positions to begin at.
        identity: of the stream, for `state_dict`.
        warn: called where the epoch is gone through for the second time.
    """

    def __init__(
        self,
        progress: Progress,
        start: Callable[[int, list[int]], Iterator[tuple[Step, Made]]],
        identity: Callable[[], dict[str, Any]],
        warn: Callable[[int], object],
    ) -> None:
        self._progress, self._start, self._identity, self._warn = progress, start, identity, warn
        self._batches: Iterator[tuple[Step, Made]] | None = None
        self.epoch = 0
        self.position: list[int] = []
        self.turn = 0
        self._closed = False

    def __next__(self) -> Made:
        if self._closed:
            raise StopIteration
        if self._batches is None:
            if self._progress.begin(self):
                self._warn(self.epoch)
            self._batches = self._start(self.epoch, self.position)
        try:
            step, batch = next(self._batches)
        except BaseException as error:
            self._progress.end(self, finished=isinstance(error, StopIteration))
            self._closed = True
            raise
        self.position = [positions.stop for positions in step]
        self._progress.advance(self)
        return batch

    def close(self) -> None:
        """End this pass."""
        self._closed = True
        self._progress.end(self, finished=False)
        self._batches = None

    def state_dict(self) -> dict[str, Any]:
        """The place of this pass, after the batch that it yielded last. For `Stream.load_state_dict`."""
        epoch, position = (self.epoch, self.position) if self.position else self._progress.coming()
        return {"epoch": epoch, "position": list(position), **self._identity()}


class Progress:
    """Places of the passes through a stream, and where the next one begins.

    Args:
        lanes: how many sources the stream has.
    """

    def __init__(self, lanes: int) -> None:
        self.epoch = 0
        self.finished = False
        """Whether a pass has come to the end of this epoch since the epoch was named."""
        self.naming = 0
        """How often an epoch was named or restored."""
        self._zeros = [0] * lanes
        self._start = self._zeros
        self._last = (0, self._zeros)
        self._running: weakref.WeakSet[Pass[Any]] = weakref.WeakSet()
        self._turns = itertools.count(1)
        self._lock = threading.RLock()

    def set_epoch(self, epoch: int) -> None:
        """The next pass goes through that epoch; a place restored in it is kept."""
        with self._lock:
            self._name()
            if epoch != self.epoch:
                self.epoch, self._start, self._last = epoch, self._zeros, (epoch, self._zeros)

    def restore(self, epoch: int, position: list[int]) -> None:
        """The next pass goes on from there."""
        with self._lock:
            self._name()
            self.epoch, self._start, self._last = epoch, position, (epoch, position)

    def _name(self) -> None:
        self._running.clear()
        self.finished = False
        self.naming += 1

    def coming(self) -> tuple[int, list[int]]:
        """The epoch and the positions at which the next pass begins."""
        return self.epoch, self._start

    def place(self) -> tuple[int, list[int]]:
        """Epoch and positions of the pass in use that was advanced last; where none is, of the last one that was."""
        with self._lock:
            latest = max(self._running, key=lambda one: one.turn, default=None)
            return self._last if latest is None else (latest.epoch, latest.position)

    def begin(self, one: Pass[Any]) -> bool:
        """Set the epoch and the place of a pass. True if that epoch is repeated."""
        with self._lock:
            again = self.finished and self._start == self._zeros
            one.epoch, one.position = self.coming()
            self._start = self._zeros
            self.advance(one)
            return again

    def advance(self, one: Pass[Any]) -> None:
        """A pass has handed out a batch."""
        with self._lock:
            one.turn = next(self._turns)
            self._running.add(one)
            self._last = (one.epoch, one.position)

    def end(self, one: Pass[Any], finished: bool) -> None:
        """A pass is over, at its end or before."""
        with self._lock:
            self._running.discard(one)
            if finished and one.epoch == self.epoch:
                self.finished = True

    def __getstate__(self) -> dict[str, Any]:
        """For copies: they have the same state and begin where the original would, without its passes."""
        with self._lock:
            own = {"epoch": self.epoch, "start": self._start, "finished": self.finished, "naming": self.naming}
            return {"lanes": len(self._zeros), "last": self.place(), **own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        Progress.__init__(self, state["lanes"])
        self.epoch, self._start, self._last = state["epoch"], state["start"], state["last"]
        self.finished, self.naming = state["finished"], state["naming"]
