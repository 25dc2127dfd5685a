"""Memory for large results on a CPU: that of earlier results nobody uses any more, or fresh, in large pages.

The system hands out memory a page at a time, as it is first touched, and one thread of a process at a time. For a batch
of images that can take longer than degrading them. So the memory of a result is kept when the last tensor that uses it
is gone, a quarter of a gibibyte in all at most, and lent to the next result that fits.
"""

from __future__ import annotations

import ctypes
import functools
import math
import mmap
import sys
import weakref
from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

_LEAST = 1 << 20  # bytes; below, what it costs to find spare memory is what it saves
_MOST = 1 << 28  # bytes that are kept while nobody uses them
_WASTE = 1.25  # how much larger than what is asked for the memory may be that is lent

_Block = NDArray[Any]
_spare: list[_Block] = []  # oldest first; a finalizer may add to it between any two lines, hence the copies


def empty(shape: torch.Size | tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """torch.empty on the CPU, from memory that is at hand if the tensor is large; the content is arbitrary.

    A large one cannot be resized (`resize_`), as one from `torch.from_numpy` cannot.
    """
    size = math.prod(shape) * dtype.itemsize
    if size < _LEAST:
        return torch.empty(shape, dtype=dtype, device="cpu")
    block = _taken(size)
    lease = block[:size]  # lives as long as the tensor's storage
    weakref.finalize(lease, _keep, block).atexit = False
    return torch.from_numpy(lease).view(dtype).view(shape)


class Planes:
    """Arrays cut from one flat array, each of which nobody else has; the content is arbitrary."""

    def __init__(self, memory: NDArray[Any]) -> None:
        self._memory, self._used = memory, 0

    def __call__(self, shape: tuple[int, ...]) -> NDArray[Any]:
        first, self._used = self._used, self._used + math.prod(shape)
        return self._memory[first : self._used].reshape(shape)


def release() -> None:
    """Gives what is kept back to the system."""
    _spare.clear()


def _taken(size: int) -> _Block:
    """A block of at least `size` bytes, spare or fresh."""
    for _ in range(len(_spare)):
        try:
            block = _spare.pop(0)
        except IndexError:  # another thread was faster
            break
        if size <= block.size <= _WASTE * size:
            return block
        _spare.append(block)
    fresh = torch.empty(size, dtype=torch.uint8, device="cpu")
    if (advise := _madvise()) is not None:
        start = -(-fresh.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = (fresh.data_ptr() + size) // mmap.PAGESIZE * mmap.PAGESIZE
        advise(start, stop - start, mmap.MADV_HUGEPAGE)  # only advice: whether it is taken changes no result
    return fresh.numpy()


def _keep(block: _Block) -> None:
    _spare.append(block)
    while sum(spare.size for spare in list(_spare)) > _MOST:
        try:
            _spare.pop(0)
        except IndexError:
            break


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    if not sys.platform.startswith("linux") or not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    function: Any = getattr(ctypes.CDLL(None), "madvise", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    call: Callable[[int, int, int], int] = function
    return call
