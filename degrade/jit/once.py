"""Compile each kernel once on a machine: processes that start together wait for the one that compiles, and say so."""

from __future__ import annotations

import functools
import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOG = logging.getLogger("degrade")
_THREADS = threading.RLock()
_FILE = ".compiling"


class _Depth(threading.local):
    """How many kernels this thread is compiling, one within the other."""

    value = 0


_depth = _Depth()


@contextmanager
def compiling(folder: Path, known: bool) -> Iterator[None]:
    """Hold the lock of a folder of kernels while one is compiled, and say once in a process that this takes time.

    The lock is taken for the outermost kernel only; it ends with its process, however that ends. Where a folder cannot
    be written to, nothing is locked.

    Args:
        folder: where compiled kernels are kept.
        known: whether the kernel is there already, which needs no lock.
    """
    if known or _depth.value:
        yield
        return
    _announce()
    with _THREADS:
        file = _locked(folder.parent / _FILE)  # beside the folders of all versions
        _depth.value += 1
        try:
            yield
        finally:
            _depth.value -= 1
            if file is not None:
                os.close(file)


def _locked(path: Path) -> int | None:
    """A file that is locked until it is closed; None where that cannot be done."""
    try:
        import fcntl

        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except (ModuleNotFoundError, OSError):
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        os.close(file)
        return None
    return file


@functools.cache
def _announce() -> None:
    message = "compiling loops for this CPU, once for this machine: about 30 s (degrade warm-up does it ahead)"
    _LOG.info(message)
    if sys.stderr is not None and sys.stderr.isatty():
        print(f"degrade: {message}", file=sys.stderr, flush=True)
