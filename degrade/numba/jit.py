"""How this room compiles: without the interpreter's lock, kept on disk, free to reorder sums and to fuse products.

Nothing here uses Numba's own threads: each image is one call, and calls for several images run in Python threads. A
sample's numbers so depend on nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compiles a function at its first call (seconds, once on a machine: the result is kept on disk, if it can be)."""
    options: dict[str, Any] = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        compiled = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # nowhere to keep it: a read-only installation without a home
        compiled = numba.njit(**options)(function)
    return cast(Function, compiled)
