"""Fresh memory for large results on a CPU, in large pages where the system has them.

The system hands out memory a page at a time, as it is first touched. For a batch of images in pages of 4 kB that can
take longer than degrading them; in pages of 2 MB it does not.
"""

from __future__ import annotations

import ctypes
import functools
import mmap
import sys
from collections.abc import Callable

import torch
from torch import Tensor

_LEAST = 1 << 23  # bytes; below, memory is reused rather than fresh


def empty(shape: torch.Size | tuple[int, ...], dtype: torch.dtype) -> Tensor:
    """torch.empty on the CPU, asking for large pages if it is large; the content is arbitrary."""
    tensor = torch.empty(shape, dtype=dtype)
    size = tensor.numel() * tensor.element_size()
    if size >= _LEAST and (advise := _madvise()) is not None:
        start = -(-tensor.data_ptr() // mmap.PAGESIZE) * mmap.PAGESIZE
        stop = (tensor.data_ptr() + size) // mmap.PAGESIZE * mmap.PAGESIZE
        advise(start, stop - start, mmap.MADV_HUGEPAGE)  # only advice: whether it is taken changes no result
    return tensor


@functools.cache
def _madvise() -> Callable[[int, int, int], int] | None:
    if not sys.platform.startswith("linux") or not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    function = getattr(ctypes.CDLL(None), "madvise", None)
    if function is None:
        return None
    function.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    call: Callable[[int, int, int], int] = function
    return call
