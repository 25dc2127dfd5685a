"""How this room compiles: without the interpreter's lock, and kept on disk.

Nothing here uses Numba's own threads: each image is one call, and calls for several images run in Python threads. A
sample's numbers so depend on nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from numba.core.registry import CPUDispatcher

from degrade.jit.cache import KernelCache
from degrade.jit.once import compiling

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compiles a function at its first call (seconds, once on a machine: the result is kept on disk, if it can be).

    Sums may be reordered and products fused.
    """
    return _compiled(function, fastmath=True)


def inner_kernel(function: Function) -> Function:
    """As `kernel`, for functions that only other kernels call: without what calls from Python need, and not kept alone.

    That saves a tenth of the time that compiling takes.
    """
    return _compiled(function, fastmath=True, inner=True)


def strict_inner_kernel(function: Function) -> Function:
    """As `inner_kernel`, each operation rounded as it is written."""
    return _compiled(function, fastmath=False, inner=True)


def strict_kernel(function: Function) -> Function:
    """As `kernel`, but each operation is rounded as it is written: the bits are torch's."""
    return _compiled(function, fastmath=False)


class _Kernel(CPUDispatcher):
    """Numba's compiled function, with the cache of this room."""

    def enable_caching(self) -> None:
        self._cache = KernelCache(self.py_func)

    def compile(self, sig: Any) -> Any:
        if not isinstance(self._cache, KernelCache):
            return super().compile(sig)
        with compiling(Path(self._cache.cache_path), self._cache.holds(sig, self.targetctx)):
            return super().compile(sig)


def _compiled(function: Function, fastmath: bool, inner: bool = False) -> Function:
    options = {"nopython": True, "boundscheck": None, "nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    if inner:
        options |= {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}
    compiled = _Kernel(py_func=function, locals={}, targetoptions=options)
    if not inner:
        compiled.enable_caching()
    return cast(Function, compiled)
