"""Worker process of a stream: answers requests for images until its parent ends it or is gone."""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
import signal
import threading
import time
import traceback
from multiprocessing.connection import Connection
from multiprocessing.util import _exit_function  # type: ignore[attr-defined]  # deletes the sockets of this process
from typing import Any

import numpy as np
import torch

from degrade.stream.packing import Packed, pack
from degrade.stream.reading import Reader, Request, read_all

IGNORED = frozenset(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
"""Signals that terminals and schedulers send to a whole group of processes: they are for the main process, which may
want to finish the step that it is in. Its workers end with it."""

_PATIENCE = 1.0
_GRACE = 0.3
"""Seconds between checks that the parent lives, and seconds that the current image may still take at the end."""

_Inbox = queue.SimpleQueue[tuple[int, Request] | None]


def serve(readers: list[Reader], connection: Connection[Any, Any], number: int) -> None:
    """The main function of a worker: answers (ticket, request) by (ticket, `Packed`), or (ticket, text of an error).

    Args:
        readers: of the stream's sources.
        connection: to the parent. None over it ends the worker; the parent's death does so within seconds.
        number: which of the workers this is.
    """
    for name in IGNORED:
        signal.signal(name, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED)  # the parent has held them back until now
    torch.set_num_threads(1)
    torch.manual_seed(number)  # for data sets that draw numbers: each worker others
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002
    inbox: _Inbox = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(connection, inbox), daemon=True).start()
    while (message := inbox.get()) is not None:
        ticket, request = message
        try:
            connection.send((ticket, _answer(readers, request)))
        except OSError:  # the parent is gone
            return


def _answer(readers: list[Reader], request: Request) -> Packed | str:
    try:
        return pack(read_all(readers, request))
    except Exception:
        return traceback.format_exc()


def _listen(connection: Connection[Any, Any], inbox: _Inbox) -> None:
    """Takes requests in at once, so that the parent never waits until it is rid of one; ends the process in the end."""
    first, parent = os.getppid(), multiprocessing.parent_process()
    try:
        while os.getppid() == first and (parent is None or parent.is_alive()):
            if connection.poll(_PATIENCE):
                message = connection.recv()
                if message is None:
                    break
                inbox.put(message)
    except (EOFError, OSError):
        pass
    inbox.put(None)
    time.sleep(_GRACE)
    _exit_function()  # the main thread is in somebody's image, or waits for its images to be taken
    os._exit(0)
