"""Pool: worker processes that decode images for all passes through a stream."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, NoReturn

from torch import multiprocessing

from degrade.stream.packing import Packed
from degrade.stream.reading import Reader, Request
from degrade.stream.worker import IGNORED, serve

_PATIENCE = 1.0
_GRACE = 0.8
"""Seconds between checks that processes live, and seconds that they have to end by themselves."""


class StreamError(RuntimeError):
    """A stream that cannot go on, such as after the death of one of its loading processes."""


class Pool:
    """Processes that read requests. Safe to use from several threads.

    Not `torch.utils.data.DataLoader`: its workers serve one iterator at a time, and where one of them dies, a handler
    of SIGCHLD raises in whatever the main process is doing. Here a death is an error of whoever waits for images.

    The processes end with this object and with their parent, within seconds where that is killed. They ignore the
    signals that are sent to whole groups of processes.

    Args:
        readers: of the stream's sources.
        count: how many processes.
    """

    def __init__(self, readers: list[Reader], count: int) -> None:
        self._owner = os.getpid()
        self._condition = threading.Condition()
        self._processes: list[BaseProcess] = []
        self._connections: list[Connection[Any, Any]] = []
        self._tickets = itertools.count()
        self._load: Counter[int] = Counter()
        self._wanted: set[int] = set()
        self._arrived: dict[int, Packed | str] = {}
        self._receiving = False
        self._broken = ""
        # runs before multiprocessing's own end, which would wait for workers that nobody has told to end
        self._end = Finalize(self, _end, args=(self._processes, self._connections), exitpriority=10)
        context = multiprocessing.get_context()
        with _signals_held_back():
            for number in range(count):
                ours, theirs = context.Pipe()
                process = context.Process(target=serve, args=(readers, theirs, number), daemon=True)
                process.start()
                theirs.close()
                self._processes.append(process)
                self._connections.append(ours)

    @property
    def usable(self) -> bool:
        """Whether no worker has died so far and this is the process that has started them."""
        return not self._broken and self._owner == os.getpid()

    def submit(self, request: Request) -> int:
        """Asks for images. Returns a ticket for `result`."""
        with self._condition:
            self._check()
            worker = min(range(len(self._processes)), key=self._load.__getitem__)
            ticket = next(self._tickets)
            self._load[worker] += 1
            self._wanted.add(ticket)
            try:
                self._connections[worker].send((ticket, request))
            except BaseException as error:  # half a message may have been sent
                self._fail(error)
            return ticket

    def result(self, ticket: int) -> Packed:
        """Wait for the result of a ticket; it can be taken once.

        Raises:
            StreamError: a worker has died, or has failed in a way that no image explains.
        """
        while True:
            with self._condition:
                if ticket in self._arrived:
                    reply = self._arrived.pop(ticket)
                    break
                self._check()
                if self._receiving:  # another thread waits for the processes, on behalf of all
                    self._condition.wait()
                    continue
                self._receiving = True
            try:
                self._receive()
            except BaseException as error:  # half a message may have been taken
                self._fail(error)
            finally:
                with self._condition:
                    self._receiving = False
                    self._condition.notify_all()
        if isinstance(reply, str):
            raise StreamError(f"a process that decodes images failed: {reply}")
        return reply

    def cancel(self, tickets: Iterable[int]) -> None:
        """Gives up tickets: what they stand for is thrown away when it arrives."""
        with self._condition:
            for ticket in tickets:
                self._wanted.discard(ticket)
                self._arrived.pop(ticket, None)

    def _receive(self) -> None:
        """Waits until something happens, or a second, and takes in what has arrived."""
        ready = wait([*self._connections, *(process.sentinel for process in self._processes)], _PATIENCE)
        for worker, connection in enumerate(self._connections):
            if connection in ready:
                ticket, reply = connection.recv()
                with self._condition:
                    self._load[worker] -= 1
                    if ticket in self._wanted:
                        self._wanted.discard(ticket)
                        self._arrived[ticket] = reply
        for process in self._processes:
            if process.sentinel in ready or process.exitcode is not None:
                raise EOFError

    def _check(self) -> None:
        if self._broken:
            raise StreamError(self._broken)

    def _fail(self, error: BaseException) -> NoReturn:
        """Ends all processes; the error is raised here, and as a StreamError in whatever else waits for them."""
        with self._condition:
            if not self._broken:
                reason = self._cause() or " ".join(str(error).split()).rstrip(". ") or type(error).__name__
                self._broken = (
                    f"a process that decodes images died ({reason}). If nobody killed it, memory has probably run out, "
                    "or shared memory (/dev/shm): use fewer workers, or smaller images"
                )
                self._end()
        if isinstance(error, Exception):
            raise StreamError(self._broken) from error
        raise error

    def _cause(self) -> str:
        for process in self._processes:
            process.join(0)
            code = process.exitcode
            if code is not None:
                with suppress(ValueError):
                    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return ""


def _end(processes: list[BaseProcess], connections: list[Connection[Any, Any]]) -> None:
    """Tells the workers to end, and kills those that do not."""
    for connection in connections:
        with suppress(OSError):
            connection.send(None)
        connection.close()
    deadline = time.monotonic() + _GRACE
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    for process in processes:
        if process.exitcode is None:
            process.kill()
            process.join()


@contextmanager
def _signals_held_back() -> Iterator[None]:
    """Workers that begin within it get signals only once they have said that they ignore them."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, IGNORED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
