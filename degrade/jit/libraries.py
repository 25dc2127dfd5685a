# mypy: disable-error-code="no-untyped-call"
"""Where Numba keeps the code of functions, so that compiling takes less: machine code for what is called from Python.

Numba optimises each function, and makes machine code of it, and again as part of each function that calls it. Here what
other functions call stays as it was written until the kernel that is called from Python has all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler_lock import global_compiler_lock


class InnerLibrary(JITCodeLibrary):
    """The code of a function that only other functions call: neither optimised nor machine code."""

    @property
    def codegen(self) -> Any:
        return _Codegen(self._codegen)

    def _optimize_functions(self, ll_module: Any) -> None:
        ll_module.data_layout = self._codegen._data_layout

    def finalize(self) -> None:
        self._raise_if_finalized()
        self._finalize_dynamic_globals()
        for library in self._linking_libraries:
            self._reload_init.update(library._reload_init)
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:
        """Of a function of its own module, which is made machine code with all that it calls; 0 of any other."""
        if not any(function.name == name and not function.is_declaration for function in self._final_module.functions):
            return 0
        whole = JITCodeLibrary(self._codegen, self.name)
        whole._final_module.link_in(self._final_module, preserve=True)
        for library in called_by(self):
            whole._final_module.link_in(_module_of(library), preserve=True)
        whole.finalize()
        address: int = whole.get_pointer_to_function(name)
        return address

    def own_module(self) -> Any:
        """The function alone, to be linked into others."""
        return super()._get_module_for_linking()

    def _get_module_for_linking(self) -> Any:
        """With all that it calls: for functions that other packages compile."""
        module = self.own_module().clone()
        for library in called_by(self):
            module.link_in(_module_of(library), preserve=True)
        return module


class LoopLibrary(InnerLibrary):
    """The code of a function that other functions call, optimised alone with all that it calls, but no machine code.

    Loops are vectorised best while their arrays are nothing but arguments.
    """

    _optimize_functions = JITCodeLibrary._optimize_functions

    def finalize(self) -> None:
        for library in called_by(self):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(_module_of(library), preserve=True)
        self._linking_libraries = []
        self._optimize_final_module()
        super().finalize()


class KernelLibrary(JITCodeLibrary):
    """The code of a function that is called from Python, with all that it calls."""

    def finalize(self) -> None:
        self._linking_libraries = [_Own(library) for library in called_by(self)]
        super().finalize()


class _Own:
    """A library as `KernelLibrary` links it: once, without what it calls."""

    def __init__(self, library: Any) -> None:
        self._library, self._reload_init = library, library._reload_init

    def _get_module_for_linking(self) -> Any:
        return _module_of(self._library)


class _Codegen:
    """What Numba asks of a library's code generator once the function is compiled: nothing without machine code."""

    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def set_env(self, name: str, environment: Any) -> None:
        if self._codegen._engine.is_symbol_defined(name):
            self._codegen.set_env(name, environment)


def called_by(library: Any) -> list[Any]:
    """The libraries of all functions that one calls, each once and behind all that call it.

    LLVM links what may be in several modules only where something that is already there calls it.
    """
    found: dict[Any, None] = {}
    behind: list[Any] = []

    def visit(one: Any) -> None:
        if one in found:
            return
        found[one] = None
        for called in one._linking_libraries if isinstance(one, InnerLibrary) else ():
            visit(called)
        behind.append(one)

    for one in library._linking_libraries:
        visit(one)
    return behind[::-1]


def _module_of(library: Any) -> Any:
    return library.own_module() if isinstance(library, InnerLibrary) else library._get_module_for_linking()


def _no_wrapper(*about: Any) -> None:
    """In place of what lets C call a function."""


@contextmanager
def inner_libraries(context: Any) -> Iterator[None]:
    """While a kernel is compiled: all that it calls, Numba's own functions too, goes into an `InnerLibrary`.

    Holds Numba's lock: what other threads compile does not see it.
    """
    with global_compiler_lock:
        context.refresh()  # Numba's own library for memory must be machine code
        shared, others = context.cached_internal_func, dict(context.cached_internal_func)
        shared.clear()  # what Numba compiled for kernels before may be rounded by their rules
        generator = context.codegen()
        usual = generator._library_class
        generator._library_class = InnerLibrary
        context.create_cfunc_wrapper = _no_wrapper
        try:
            yield
        finally:
            del context.create_cfunc_wrapper
            shared.clear()
            shared.update(others)
            generator._library_class = usual
