"""Compile each kernel once on a machine: who wants one that another process compiles waits for it, and says so."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOG = logging.getLogger("degrade")


class Busy(Exception):
    """Another process, or another thread, is compiling this kernel."""


@contextmanager
def compiling(lock: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a kernel while it is compiled, and say once in a process that this takes time.

    The lock ends with its process, however that ends. Where it cannot be made nothing is locked.

    Args:
        lock: the file to lock, which stays.
        wait: raise `Busy` where another holds the lock, if false.
    """
    _announce()
    file = _locked(lock, wait)
    try:
        yield
    finally:
        if file is not None:
            os.close(file)


def can_lock(lock: Path) -> bool:
    """Whether a file can be locked here: whether processes can share work at all."""
    try:
        file = _locked(lock, wait=False)
    except Busy:
        return True
    if file is not None:
        os.close(file)
    return file is not None


def _locked(path: Path, wait: bool) -> int | None:
    """A file that is locked until it is closed, by this call alone; None where that cannot be done."""
    try:
        import fcntl

        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (ModuleNotFoundError, OSError):
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        if isinstance(error, BlockingIOError):
            raise Busy(path.name) from None
        return None
    return file


@functools.cache
def _announce() -> None:
    message = "compiling loops for this CPU, once for this machine: 10 to 30 s (degrade warm-up does it ahead)"
    _LOG.info(message)
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"degrade: {message}", file=sys.stderr, flush=True)
