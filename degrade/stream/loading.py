"""Decoding ahead of use, in worker processes, with a cache of decoded images."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor
from torch.utils.data import get_worker_info

from degrade.stream.packing import unpack
from degrade.stream.pool import Pool, StreamError
from degrade.stream.reading import Decoded, Reader, Reading, Request, read_all
from degrade.stream.source import SourceError

_LOG = logging.getLogger("degrade.stream")
_AHEAD = 2
"""Requests sent ahead for each worker of a pass."""

Pending = tuple[Request, Request, int | None]
"""A request, the part of it that is not in the cache, and the ticket for that part where workers read it."""


class Loader:
    """Reads requests ahead of their use, in order, for any number of passes at the same time.

    Args:
        readers: of the sources.
        workers: processes that decode; 0 decodes in this one.
        pinned: hand tensors out in page-locked memory.
        cache_bytes: bytes of decoded images that are kept for later epochs; nothing is evicted, since each epoch
            asks for every image once.
    """

    def __init__(self, readers: list[Reader], workers: int, pinned: bool, cache_bytes: int) -> None:
        self.failed: dict[str, str] = {}
        self._readers, self._workers, self._pinned = readers, workers, pinned
        self._cache: dict[tuple[int, int], Decoded] = {}
        self._room = cache_bytes
        self._pool: Pool | None = None
        self._lock = threading.Lock()
        self._noted: set[str] = set()
        for reader in readers:
            self._note(reader.notes)

    def __call__(self, requests: Iterable[Request]) -> Iterator[list[Decoded]]:
        """Decoded images of each request, in order.

        Raises:
            SourceError: a source of which no image can be read any more.
            StreamError: a worker has died, or something else came back than was asked for.
        """
        pool = self._shared_pool()
        asked: deque[Pending] = deque()
        coming = iter(requests)

        def ask() -> None:
            while len(asked) < (_AHEAD * self._workers if pool else 1) and (request := next(coming, None)) is not None:
                wanted = [entry for entry in dict.fromkeys(request) if entry not in self._cache]
                asked.append((request, wanted, pool.submit(wanted) if pool and wanted else None))

        try:
            ask()
            while asked:
                request, wanted, ticket = asked[0]
                reading = self._read(wanted, ticket, pool)
                asked.popleft()
                if pool:
                    ask()  # the workers go on while this is used
                yield self._taken(request, wanted, reading)
                ask()
        finally:
            if pool:
                pool.cancel(ticket for _, _, ticket in asked if ticket is not None)

    def _read(self, wanted: Request, ticket: int | None, pool: Pool | None) -> Reading:
        if pool is not None and ticket is not None:
            return unpack(pool.result(ticket), self._pinned)
        reading = read_all(self._readers, wanted)
        return reading.pin_memory() if self._pinned else reading

    def _taken(self, request: Request, wanted: Request, reading: Reading) -> list[Decoded]:
        """A request's images, from what was read and from the cache."""
        self._report(reading)
        self._check(wanted, reading)
        fresh = dict(zip(wanted, reading.decoded, strict=True))
        for entry, decoded in fresh.items():
            self._keep(entry, decoded)
        return [fresh[entry] if entry in fresh else self._cache[entry] for entry in request]

    def _check(self, wanted: Request, reading: Reading) -> None:
        """StreamError where something else was read than was asked for."""

        def is_right(asked: tuple[int, int], entry: Decoded) -> bool:
            reader, index = asked
            return entry.asked == asked and (
                entry.index == index or self._readers[reader].source.ids[index] in reading.failures
            )

        if len(wanted) != len(reading.decoded) or not all(map(is_right, wanted, reading.decoded)):
            found = [(*entry.asked, entry.index) for entry in reading.decoded]
            raise StreamError(f"asked for the images {wanted} (source, number), got {found}: none of them is used")

    def _shared_pool(self) -> Pool | None:
        """The worker processes, started when they are first needed, and again after one has died."""
        if not self._workers or get_worker_info() is not None:  # workers of a DataLoader start no processes
            return None
        with self._lock:
            if self._pool is None or not self._pool.usable:
                self._pool = Pool(self._readers, self._workers)
            return self._pool

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
        with self._lock:
            if decoded.bytes > self._room or entry in self._cache:
                return
            self._room -= decoded.bytes
            # what comes from a worker is part of a larger block, with a file descriptor, for as long as it lives
            self._cache[entry] = decoded.each(Tensor.clone) if self._workers else decoded

    def __getstate__(self) -> dict[str, Any]:
        """For copies and other processes: the cache goes along, the worker processes do not."""
        return {**self.__dict__, "_pool": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _lock=threading.Lock())
