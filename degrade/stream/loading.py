"""Worker processes that decode ahead, and a cache of what they have decoded."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from degrade.stream.reading import Decoded, Reader, Reading, read_all
from degrade.stream.source import SourceError

_LOG = logging.getLogger("degrade.stream")

Request = list[tuple[int, int]]
"""The images of one step: (which reader, which index) each."""


class StreamError(RuntimeError):
    """A stream that cannot go on, such as after the death of one of its loading processes."""


class Loader:
    """Reads requests ahead of their use, in order.

    Args:
        readers: of the sources.
        workers: processes that decode; 0 decodes in this one.
        pinned: hand tensors out in page-locked memory.
        cache_bytes: how much of what was decoded is kept for later epochs; nothing is ever put out for something
            else, since each epoch asks for everything once.
    """

    def __init__(self, readers: list[Reader], workers: int, pinned: bool, cache_bytes: int) -> None:
        self.failed: dict[str, str] = {}
        self._cache: dict[tuple[int, int], Decoded] = {}
        self._room = cache_bytes
        self._workers = workers
        self._pending = _Pending()
        self._readers = _Readers(readers)
        self._pinned = pinned
        self._processes: DataLoader[Reading] | None = None
        self._noted: set[str] = set()
        for reader in readers:
            self._note(reader.notes)

    def __call__(self, requests: Iterable[Request]) -> Iterator[list[Decoded]]:
        """What is asked for, request by request."""
        asked: deque[tuple[Request, Request]] = deque()

        def missing() -> Iterator[Request]:
            for request in requests:
                wanted = [entry for entry in dict.fromkeys(request) if entry not in self._cache]
                asked.append((request, wanted))
                yield wanted

        for reading in self._read(missing()):
            request, wanted = asked.popleft()
            self._report(reading)
            fresh = dict(zip(wanted, reading.decoded, strict=True))
            for entry, decoded in fresh.items():
                self._keep(entry, decoded)
            yield [fresh[entry] if entry in fresh else self._cache[entry] for entry in request]

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Says what is the matter where PyTorch notices a dead worker, which it may at any moment."""
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, StreamError) or "DataLoader worker" not in str(error):
                raise
            raise self._died(error) from error

    def _died(self, error: Exception) -> StreamError:
        self._processes = None
        reason = " ".join(str(error).split()).rstrip(". ")
        return StreamError(
            f"a process that decodes images died ({reason or type(error).__name__}). "
            "If nobody killed it, memory has probably run out: use fewer workers, or smaller images"
        )

    def _read(self, requests: Iterator[Request]) -> Iterator[Reading]:
        if self._processes is None:
            self._processes = DataLoader(
                self._readers,
                batch_sampler=self._pending,
                num_workers=self._workers,
                persistent_workers=self._workers > 0,
                collate_fn=_whole,
                pin_memory=self._pinned,
                generator=torch.Generator(),  # it draws seeds for its workers, otherwise from the global generator
            )
        self._pending.requests = requests
        try:
            yield from self._processes
        except (OSError, EOFError) as error:  # the other end of a pipe is gone
            raise self._died(error) from error

    def _report(self, reading: Reading) -> None:
        for id_, reason in reading.failures.items():
            if id_ not in self.failed:
                self.failed[id_] = reason
                _LOG.warning("%s cannot be used, another image takes its place: %s", id_, reason)
        self._note(reading.notes)
        if reading.fatal:
            raise SourceError(reading.fatal)

    def _note(self, notes: Iterable[str]) -> None:
        for note in notes:
            if note not in self._noted:
                self._noted.add(note)
                _LOG.warning("%s", note)

    def _keep(self, entry: tuple[int, int], decoded: Decoded) -> None:
        if decoded.bytes <= self._room and entry not in self._cache:
            self._room -= decoded.bytes
            # what comes from a worker holds a file descriptor for as long as it lives
            self._cache[entry] = decoded.each(Tensor.clone) if self._workers else decoded


class _Readers(Dataset[Reading]):
    """The data set that the worker processes see: a request is an item."""

    def __init__(self, readers: list[Reader]) -> None:
        self._readers = readers

    def __getitem__(self, entry: tuple[int, int]) -> Reading:
        return read_all(self._readers, [entry])

    def __getitems__(self, request: Request) -> Reading:
        return read_all(self._readers, request)


class _Pending:
    """The requests of the running epoch, as the sampler of a data loader that outlives it."""

    requests: Iterator[Request] = iter(())

    def __iter__(self) -> Iterator[Request]:
        return self.requests


def _whole(reading: Any) -> Any:
    return reading  # already one object, not a list of items
