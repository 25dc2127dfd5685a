"""Find out which kernels calls need, and compile them ahead: each by one of several processes that share the work.

Whoever compiles a kernel holds its lock (`degrade.jit.once`), and the others leave it. So processes need not speak to
each other, and one that ends early only leaves more to the others.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
import multiprocessing
import os
import pickle
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from degrade.jit.once import Busy, can_lock, compiling

Work = tuple[Any, Any]
"""A kernel, and the types of the arguments that it is to be compiled for."""

_LOG = logging.getLogger("degrade")


class Postponed(Exception):
    """In place of a kernel's result, while it is only asked which kernels are needed."""


class _Thread(threading.local):
    """What this thread has been asked."""

    work: list[Work] | None = None
    """The kernels that calls have needed, within `collecting`."""
    ask: Callable[[], object] | None = None
    """The call of `needing`."""


_thread = _Thread()


@contextlib.contextmanager
def collecting() -> Iterator[list[Work]]:
    """Kernels that calls of this thread need and that are not on disk: not compiled, the calls raise `Postponed`."""
    work: list[Work] = []
    _thread.work = work
    try:
        yield work
    finally:
        _thread.work = None


@contextlib.contextmanager
def needing(ask: Callable[[], object]) -> Iterator[None]:
    """Have the first kernel that is not on disk compiled together with all others that a call, `ask`, needs."""
    before, _thread.ask = _thread.ask, ask
    try:
        yield
    finally:
        _thread.ask = before


def before_compiling(kernel: Any, types: Any) -> None:
    """What a kernel calls that is not on disk. Within `collecting` it raises `Postponed`."""
    if _thread.work is not None:
        if (kernel, types) not in _thread.work:
            _thread.work.append((kernel, types))
        raise Postponed(kernel.py_func.__qualname__)
    ask, _thread.ask = _thread.ask, None
    if ask is not None:
        with collecting() as work, contextlib.suppress(Exception):  # if it cannot be asked, kernels come one by one
            ask()
        compile_all(work)


def compile_all(work: Sequence[Work]) -> None:
    """Compile kernels, the longest first, in as many processes as there are cores and as it is of use.

    No error is raised: what cannot be compiled fails again in the call that needs it.
    """
    work = sorted(work, key=lambda one: one[0].extent, reverse=True)
    with with_helpers(work):
        for wait in (False, True):  # first what nobody compiles, then what others have begun, if they have not done it
            for kernel, types in work:
                with contextlib.suppress(Exception):
                    kernel.compile_ahead(types, wait)


@contextlib.contextmanager
def with_helpers(work: Sequence[Work]) -> Iterator[None]:
    """Processes that do the same work. Of all that want some at a time one alone has them, and no worker process."""
    helpers: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        count = 0 if multiprocessing.parent_process() is not None else _useful(work)
        if count:
            with contextlib.suppress(Busy):
                stack.enter_context(compiling(work[0][0].lock.with_name("helpers"), wait=False))
                places = [(kernel.py_func.__module__, kernel.py_func.__name__, types) for kernel, types in work]
                request, root = pickle.dumps(places), work[0][0].root
                helpers = [one for one in (start_helper(request, root) for _ in range(count)) if one is not None]
        try:
            yield
        finally:
            for helper in helpers:
                helper.terminate()  # everything is there: one that has not ended has only just started
                helper.wait()


def _useful(work: Sequence[Work]) -> int:
    """How many processes beside this one: none more than cores, nor than are done when the longest kernel is."""
    extents: list[int] = [kernel.extent for kernel, _ in work]
    if len(work) < 2 or not all(kernel.can_be_found for kernel, _ in work) or not can_lock(work[0][0].lock):
        return 0
    if getattr(sys, "frozen", False) or not Path(sys.executable or "").name.startswith("python"):
        return 0  # what is no Python would start as something else
    return min(_cores(), len(work), -(-sum(extents) // max(extents))) - 1


def start_helper(request: bytes, root: Path) -> subprocess.Popen[bytes] | None:
    """A process that compiles into the same folder; a new interpreter, which imports nothing of the caller's script."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    environment = os.environ | {"DEGRADE_CACHE_DIR": str(root), "PYTHONPATH": paths, "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", "from degrade.jit.ahead import help_out; help_out()"]
    try:
        with tempfile.TemporaryFile() as file:
            file.write(request)
            file.seek(0)
            nothing = subprocess.DEVNULL
            return subprocess.Popen(command, stdin=file, stdout=nothing, stderr=nothing, env=environment)
    except OSError as error:
        _LOG.debug("no process to share compiling with: %s", error)
        return None


def _cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def help_out() -> None:
    """Compile what the process that started this one asks for, and nobody else is compiling."""
    # what the parent wrote into an unnamed file of its own: nobody else can have put anything there
    for module, name, types in pickle.load(sys.stdin.buffer):
        with contextlib.suppress(Busy):
            getattr(importlib.import_module(module), name).compile_ahead(types, wait=False)
