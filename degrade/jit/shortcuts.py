# mypy: disable-error-code="no-untyped-call"
"""What Numba does again and again while it compiles one kernel, done once: a sixth of the time.

None of it changes what is compiled. Of Numba 0.68, whose inside is known here.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numba.core.compiler_machinery import PassManager
from numba.core.postproc import PostProcessor, VariableLifetime
from numba.core.targetconfig import ConfigStack
from numba.core.transforms import canonicalize_cfg
from numba.core.types import BaseFunction


@contextmanager
def shortcuts() -> Iterator[None]:
    """While a kernel is compiled: the caller holds Numba's lock, so that what other threads compile does not see it."""
    with (
        _replaced(BaseFunction, "get_call_type", _remembered(BaseFunction.get_call_type)),
        _replaced(PostProcessor, "run", _without_liveness(PostProcessor.run)),
        _replaced(PassManager, "_runPass", _run_pass),
    ):
        yield


@contextmanager
def _replaced(kind: type, name: str, method: Any) -> Iterator[None]:
    usual = getattr(kind, name)
    setattr(kind, name, method)
    try:
        yield
    finally:
        setattr(kind, name, usual)


def _remembered(find: Any) -> Any:
    """`BaseFunction.get_call_type`, each answer found once: of 5,700 questions 400 are different ones."""
    known: dict[Any, Any] = {}

    def get_call_type(function: Any, context: Any, args: Any, kws: Any) -> Any:
        question = function, context, tuple(args), tuple(kws.items()), ConfigStack.top_or_none()
        if question not in known:
            known[question] = find(function, context, args, kws)
        return known[question]

    return get_call_type


def _without_liveness(run: Any) -> Any:
    """`PostProcessor.run` without what is alive where blocks begin, which only generators and objects need."""

    def run_without(processor: Any, emit_dels: bool = False, extend_lifetimes: bool = False) -> None:
        code = processor.func_ir
        if code.is_generator:
            run(processor, emit_dels, extend_lifetimes)
            return
        code.blocks = canonicalize_cfg(code.blocks)
        code.variable_lifetime = VariableLifetime(code.blocks)
        code.generator_info = None
        if emit_dels:
            processor._insert_var_dels(extend_lifetimes=extend_lifetimes)

    return run_without


def _run_pass(passes: Any, index: int, one: Any, state: Any) -> None:
    """`PassManager._runPass` without times, events and checks of what the pass did."""
    one.analysis = passes._analysis
    one.run_initialization(state)
    one.run_pass(state)
    one.run_finalizer(state)
