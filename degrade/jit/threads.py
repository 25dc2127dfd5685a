"""Threads for work that lets go of the interpreter's lock: as many as torch may use, gone when the work is done.

Not torch's own: those keep the cores busy for milliseconds after they are done, and so slow down what comes next.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch
from numba import types
from numba.extending import intrinsic
from numpy.typing import NDArray


def threads_for(parts: int) -> int:
    """How many threads to share so many equal parts of work among, at least one."""
    return max(min(torch.get_num_threads(), parts), 1)


def share(work: Callable[[int], None], threads: int) -> None:
    """Calls work(0), ..., work(threads - 1) at the same time, the first in this thread; an error in one is raised here.

    >>> done = []
    >>> share(done.append, 3)
    >>> sorted(done)
    [0, 1, 2]
    """
    failures: list[BaseException] = []

    def watched(number: int, done: _thread.LockType | None) -> None:
        try:
            work(number)
        except BaseException as failure:  # to be raised where the call was made
            failures.append(failure)
        finally:
            if done is not None:
                done.release()

    # threading.Thread.start would wait until the thread has begun
    waiting = [_thread.allocate_lock() for _ in range(1, threads)]
    for number, done in enumerate(waiting, 1):
        done.acquire()
        _thread.start_new_thread(watched, (number, done))
    watched(0, None)
    for done in waiting:
        done.acquire()
    if failures:
        raise failures[0]


def _take(typing: Any, counter: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.atomic_rmw("add", array.data, context.get_constant(types.int64, 1), "monotonic")

    return types.int64(counter), generate


take = cast(Callable[[NDArray[np.int64]], int], intrinsic(_take))
"""In a kernel: the first number of an array, which then is one more. Each number goes to one thread alone."""
