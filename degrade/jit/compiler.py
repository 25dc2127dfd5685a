# mypy: disable-error-code="no-untyped-call"
"""How this room compiles: without the interpreter's lock, and kept on disk.

Nothing here uses Numba's own threads: each image is one call, and calls for several images run in Python threads. A
sample's numbers so depend on nothing but itself.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar, TypeVar, cast

import numba
from numba.core.compiler import Compiler, Flags
from numba.core.compiler_machinery import FunctionPass, PassManager, register_pass
from numba.core.registry import CPUDispatcher
from numba.core.typed_passes import NopythonTypeInference

from degrade.jit.ahead import before_compiling
from degrade.jit.cache import KernelCache
from degrade.jit.libraries import InnerLibrary, KernelLibrary, LoopLibrary, inner_libraries
from degrade.jit.once import compiling
from degrade.jit.shortcuts import less_garbage, shortcuts

Function = TypeVar("Function", bound=Callable[..., Any])

_KNOWN = ("0.68",)
"""Versions of Numba whose inside is known here. Others compile as Numba itself does, in about twice the time."""

_OPTIONS = {"nopython": True, "boundscheck": None, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}


def kernel(function: Function) -> Function:
    """Compiles a function at its first call (seconds, once on a machine: the result is kept on disk, if it can be).

    Sums may be reordered and products fused.
    """
    return cast(Function, _Kernel(function, fastmath=True))


def loop_kernel(function: Function) -> Function:
    """As `kernel`, optimised alone also where other kernels call it.

    Loops over many arrays are vectorised while these are arguments, not parts of what the caller has.
    """
    return cast(Function, _Kernel(function, fastmath=True, pipeline=_LoopCompiler))


def inner_kernel(function: Function) -> Function:
    """As `kernel`, for functions that only other kernels call: without what calls from Python need, and not kept alone.

    They are optimised and made machine code once, as a part of the kernel that calls them (`degrade.jit.libraries`).
    """
    return cast(Function, _Inner(function, fastmath=True))


def inner_loop(function: Function) -> Function:
    """As `inner_kernel`, optimised alone as a `loop_kernel` is."""
    return cast(Function, _Inner(function, fastmath=True, pipeline=_LoopCompiler))


def inlined_kernel(function: Function) -> Function:
    """As `inner_kernel`, always a part of the loop that calls it, which else would not be vectorised."""
    return cast(Function, _Inner(function, fastmath=True, forceinline=True))


def strict_inner_kernel(function: Function) -> Function:
    """As `inner_kernel`, each operation rounded as it is written."""
    return cast(Function, _Inner(function, fastmath=False))


def strict_kernel(function: Function) -> Function:
    """As `loop_kernel`, but each operation is rounded as it is written: the bits are torch's."""
    return cast(Function, _Kernel(function, fastmath=False, pipeline=_LoopCompiler))


_UNUSED = (
    *("WithLifting", "InlineClosureLikes", "RewriteSemanticConstants", "DeadBranchPrune", "RewriteDynamicRaises"),
    *("MakeFunctionToJitFunction", "InlineInlinables", "FindLiterallyCalls", "LiteralUnroll"),
    *("LiteralPropagationSubPipelinePass", "InlineOverloads", "NopythonRewrites", "DumpParforDiagnostics"),
)
"""Numba's passes for what loops do not have: closures, objects, literals, operations on whole arrays."""


class _Compiler(Compiler):
    """Numba's compiler for loops, which puts a function's code into a library of this kind."""

    library: Any = InnerLibrary

    def define_pipelines(self) -> list[PassManager]:
        passes = PassManager("loops")
        for one, about in super().define_pipelines()[0].passes:
            if one.__name__ not in _UNUSED:
                passes.add_pass(one, about)
        passes.add_pass_after(_TakeLibrary, NopythonTypeInference)
        passes.finalize()
        return [passes]


@register_pass(mutates_CFG=False, analysis_only=True)
class _TakeLibrary(FunctionPass):
    """Makes the library before Numba makes one of its own kind."""

    _name = "take_library"

    def __init__(self) -> None:
        super().__init__()

    def run_pass(self, state: Any) -> bool:
        state.library = state.pipeline.library(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        return False


class _LoopCompiler(_Compiler):
    library = LoopLibrary


class _KernelCompiler(_Compiler):
    library = KernelLibrary

    def compile_extra(self, function: Callable[..., Any]) -> Any:
        with inner_libraries(self.state.targetctx), shortcuts():
            return super().compile_extra(function)


class _Flags(Flags):
    """Numba's options of a compilation.

    What is compiled for a call depends on the caller's options, which Numba compares at each call: here they are the
    same object where they are the same, and whether the caller can be called from Python makes no difference.
    """

    _known: ClassVar[dict[str, _Flags]] = {}

    def copy(self) -> _Flags:
        found = _Flags(self)
        found.no_cpython_wrapper = True  # type: ignore[assignment]
        return self._known.setdefault(found.summary(), found)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)


class _Dispatcher(CPUDispatcher):
    """Numba's compiled function, with these options, and compiled in the way of this room where Numba is known."""

    def __init__(self, pipeline_class: Any, **options: Any) -> None:
        known = numba.__version__.rpartition(".")[0] in _KNOWN
        super().__init__(pipeline_class=pipeline_class if known else Compiler, **options)
        if known:
            self._compiler._customize_flags = _Flags  # type: ignore[attr-defined]


class _Inner(_Dispatcher):
    """Numba's compiled function, for other kernels to call."""

    def __init__(
        self, function: Callable[..., Any], fastmath: bool, pipeline: Any = _Compiler, forceinline: bool = False
    ) -> None:
        options = _OPTIONS | {"fastmath": fastmath, "no_cpython_wrapper": True, "forceinline": forceinline}
        super().__init__(py_func=function, locals={}, targetoptions=options, pipeline_class=pipeline)


class _Kernel(_Dispatcher):
    """Numba's compiled function, with the cache of this room; kernels that call it compile it as a part of theirs."""

    def __init__(self, function: Callable[..., Any], fastmath: bool, pipeline: Any = _Compiler) -> None:
        options = _OPTIONS | {"fastmath": fastmath}
        super().__init__(py_func=function, locals={}, targetoptions=options, pipeline_class=_KernelCompiler)
        self._cache = KernelCache(function)
        self._inner = _Inner(function, fastmath, pipeline)

    @property
    def _numba_type_(self) -> Any:
        return self._inner._numba_type_

    def compile(self, sig: Any) -> Any:
        if not self._cache.holds(sig, self.targetctx):
            before_compiling(self, sig)
        with nullcontext() if self._cache.holds(sig, self.targetctx) else compiling(self.lock):
            return self._compile(sig)

    def compile_ahead(self, sig: Any, wait: bool) -> None:
        """Have the result on disk; unless told to wait, `Busy` is raised while another compiles it."""
        if not self._cache.holds(sig, self.targetctx):
            with compiling(self.lock, wait):
                self._compile(sig)

    def _compile(self, sig: Any) -> Any:
        with less_garbage():
            return super().compile(sig)

    @property
    def lock(self) -> Path:
        """The file that is locked while this kernel is compiled."""
        return self._cache.root / ".compiling" / self._cache.name

    @property
    def root(self) -> Path:
        """Where the kernels of all versions are kept."""
        return self._cache.root

    @property
    def can_be_found(self) -> bool:
        """Whether another process finds this kernel by its module and the name of its function."""
        module, name = self.py_func.__module__, self.py_func.__qualname__
        return module != "__main__" and getattr(sys.modules.get(module), name, None) is self

    @functools.cached_property
    def extent(self) -> int:
        """Bytes of bytecode of all functions in it: what tells which of two kernels takes longer to compile."""
        found: set[Any] = set()
        _add_called(self.py_func, found)
        return sum(len(function.__code__.co_code) for function in found)


def _add_called(function: Any, found: set[Any]) -> None:
    """Add a function and those that it calls, as far as they are compiled in the way of this room."""
    found.add(function)
    names, known = function.__code__.co_names, function.__globals__
    modules = [known[name] for name in names if inspect.ismodule(known.get(name))]
    for place in (known, *map(vars, modules)):
        for name in names:
            called = place.get(name)
            if isinstance(called, _Dispatcher) and called.py_func not in found:
                _add_called(called.py_func, found)
