"""How this room compiles: without the interpreter's lock, and kept on disk.

Nothing here uses Numba's own threads: each image is one call, and calls for several images run in Python threads. A
sample's numbers so depend on nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compiles a function at its first call (seconds, once on a machine: the result is kept on disk, if it can be).

    Sums may be reordered and products fused.
    """
    return _compiled(function, fastmath=True)


def strict_kernel(function: Function) -> Function:
    """As `kernel`, but each operation is rounded as it is written: the bits are torch's."""
    return _compiled(function, fastmath=False)


def _compiled(function: Function, fastmath: bool) -> Function:
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    try:
        compiled = numba.njit(cache=True, **options)(function)
        _forget_older(compiled, Path(compiled.stats.cache_path))
    except (RuntimeError, OSError):  # nowhere to keep it: a read-only installation without a home
        compiled = numba.njit(**options)(function)
    return cast(Function, compiled)


_CHANGED = max(file.stat().st_mtime for file in Path(__file__).parent.glob("*.py"))


def _forget_older(compiled: Any, folder: Path) -> None:
    """Drops what was compiled before the last change in this room: Numba looks at a kernel's own file alone.

    It would call yesterday's version of a kernel that another file holds.
    """
    function = compiled.py_func
    for index in folder.glob(f"*.{function.__name__}-{function.__code__.co_firstlineno}.*.nbi"):
        if index.stat().st_mtime < _CHANGED:
            index.unlink(missing_ok=True)
