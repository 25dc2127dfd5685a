# mypy: disable-error-code="no-untyped-call"
"""What Numba does again and again while it compiles one kernel, done once: a sixth of the time.

None of it changes what is compiled. Of Numba 0.68, whose inside is known here.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite.ir.types import Type  # type: ignore[import-untyped]
from numba.core import event
from numba.core.compiler_machinery import PassManager
from numba.core.postproc import PostProcessor, VariableLifetime
from numba.core.runtime.context import NRTContext
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
        _replaced(NRTContext, "get_meminfos", _of_memory()),
        _replaced(Type, "get_abi_size", _measured(Type.get_abi_size)),
        _replaced(event, "start_event", _nothing),
        _replaced(event, "end_event", _nothing),
    ):
        yield


@contextmanager
def less_garbage() -> Iterator[None]:
    """Python collects garbage less often, which would take a tenth of the time of compiling, and of Numba's start."""
    thresholds = gc.get_threshold()
    gc.set_threshold(max(thresholds[0], 1_000_000) if thresholds[0] else 0, *thresholds[1:])
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # what is new counts as old: to look at it now would take a third of a second
            gc.freeze()
            gc.unfreeze()
        gc.set_threshold(*thresholds)


@contextmanager
def _replaced(kind: Any, name: str, method: Any) -> Iterator[None]:
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


def _of_memory() -> Any:
    """`NRTContext.get_meminfos` of what has memory of its own; for the rest it would take apart each value in vain."""
    known: dict[Any, bool] = {}

    def has_memory(models: Any, kind: Any) -> bool:
        if kind not in known:
            known[kind] = models[kind].contains_nrt_meminfo()
        return known[kind]

    def get_meminfos(context: Any, builder: Any, kind: Any, value: Any) -> list[Any]:
        models = context._context.data_model_manager
        if not has_memory(models, kind):
            return []
        found = [(kind, models[kind].get_nrt_meminfo(builder, value))] if models[kind].has_nrt_meminfo() else []
        for inner, part in models[kind].traverse(builder):
            if has_memory(models, inner):
                found += get_meminfos(context, builder, inner, part(value))
        return found

    return get_meminfos


def _measured(measure: Any) -> Any:
    """`Type.get_abi_size` of llvmlite, which writes and reads a module each time, once for each type."""
    known: dict[Any, int] = {}

    def get_abi_size(kind: Any, target_data: Any, context: Any = None) -> int:
        question = str(kind), str(target_data), context
        if question not in known:
            known[question] = measure(kind, target_data, context)
        return known[question]

    return get_abi_size


def _nothing(*about: Any, **more: Any) -> None:
    """In place of telling Numba's listeners what begins and ends."""
