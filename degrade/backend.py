"""Backends: who computes an operation, why, and how to override it.

Every operation has a definition ("reference", plain torch) and may have compiled twins: "cpu" (Numba loops) and "gpu"
(Triton kernels). `run` takes the fastest that serves a call. A backend that cannot be loaded or compiled is left out
after one warning; results never depend on that but by rounding.

    with degrade.backend("reference"):  # for the calls in this block, in this thread
        ...

The environment variable DEGRADE_BACKEND does the same for a whole process. An operation that the named backend does not
serve is computed by the definition.
"""

from __future__ import annotations

import functools
import importlib
import os
import warnings
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import torch

from degrade.jit.ahead import Postponed

NAMES = ("reference", "cpu", "gpu")
_PACKAGES = {"cpu": "numba", "gpu": "triton"}
_DEVICES = {"cpu": "cpu", "gpu": "cuda"}

override: ContextVar[str | None] = ContextVar("degrade.backend", default=None)


@dataclass
class Operation:
    """Something that backends compute, with the places of its twins as "module:function".

    Twins have the signature of the definition that `run` is given. Those with gradients, `cpu_gradient`, are given that
    definition first, then its arguments: they may leave second derivatives to it. `contains` are the operations that
    the definition asks for, and that twins compute themselves. `detached`: no gradient passes, whatever is asked.
    `in_float32`: twins leave float64 images to the definition.
    """

    name: str
    cpu: str = ""
    gpu: str = ""
    cpu_gradient: str = ""
    contains: tuple[Operation, ...] = ()
    detached: bool = False
    in_float32: bool = False
    _failed: dict[str, str] = field(default_factory=dict, repr=False)
    _proven: set[str] = field(default_factory=set, repr=False)

    def place(self, name: str, gradients: bool = False) -> str:
        """Where a backend's function is; empty if it has none."""
        if gradients:
            return self.cpu_gradient if name == "cpu" else ""
        return self.cpu if name == "cpu" else self.gpu

    def twin(self, name: str, definition: Callable[..., Any], gradients: bool = False) -> Callable[..., Any]:
        """The function of a backend; ImportError and the like where it cannot be loaded."""
        function = _load(self.place(name, gradients))
        return functools.partial(function, definition) if gradients else function


@dataclass(frozen=True)
class Choice:
    """The backend that serves a call, and for each other one why it does not."""

    name: str
    reasons: dict[str, str]


Refusal = Callable[[str], str]
"""Backend name -> why it cannot serve this call; empty if it can."""


def choose(
    operation: Operation, device: torch.device, gradients: bool = False, refuses: Refusal | None = None
) -> Choice:
    """The fastest backend that serves a call on a device.

    Args:
        operation: what is to be computed.
        device: where the data is.
        gradients: whether the call needs gradients, which not all twins have.
        refuses: what the call itself rules out.
    """
    reasons = {name: _obstacle(operation, name, device, gradients, refuses) for name in ("gpu", "cpu")}
    for name in ("gpu", "cpu"):
        if not reasons[name]:
            return Choice(name, {other: why for other, why in reasons.items() if why})
    return Choice("reference", reasons)


def run(
    operation: Operation,
    definition: Callable[..., Any],
    arguments: tuple[Any, ...],
    device: torch.device,
    gradients: bool = False,
    refuses: Refusal | None = None,
) -> Any:
    """Compute an operation by the fastest backend that serves the call, else by its definition."""
    if torch.compiler.is_compiling():
        return definition(*arguments)
    for name in ("cpu", "gpu"):
        if _obstacle(operation, name, device, gradients, refuses):
            continue
        try:
            result = operation.twin(name, definition, gradients)(*arguments)
        except Postponed:
            return _by_definition(definition, arguments)
        except Exception as error:
            if not _is_failure_of_backend(operation, name, error):
                raise
            _give_up(operation, name, error)
        else:
            operation._proven.add(name)
            return result
    return definition(*arguments)


def _by_definition(definition: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """What a call gives whose kernels are only collected: nothing within it needs others."""
    token = override.set("reference")
    try:
        return definition(*arguments)
    finally:
        override.reset(token)


def _obstacle(operation: Operation, name: str, device: torch.device, gradients: bool, refuses: Refusal | None) -> str:
    """Why a backend does not serve a call; empty if it does."""
    if not operation.place(name):
        return "this operation has no such twin"
    wanted = selected()
    if wanted is not None and wanted != name:
        return f"the backend {wanted!r} is asked for"
    if device.type != _DEVICES[name] and not (name == "gpu" and wanted == "gpu" and _interpreted()):
        return f"the data is on {device}"
    if gradients and not operation.place(name, gradients):
        return "gradients are asked for"
    if not _installed(_PACKAGES[name]):
        return f"{_PACKAGES[name]} is not installed"
    if name in operation._failed:
        return operation._failed[name]
    return refuses(name) if refuses is not None else ""


def selected() -> str | None:
    """The backend that `with degrade.backend(...)` or DEGRADE_BACKEND asks for; None for the fastest."""
    name = override.get()
    if name is None:
        name = os.environ.get("DEGRADE_BACKEND") or None
        if name is not None and name not in NAMES:
            raise ValueError(f"DEGRADE_BACKEND = {name!r}: allowed is one of {', '.join(NAMES)}")
    return name


def _is_failure_of_backend(operation: Operation, name: str, error: Exception) -> bool:
    """Whether an error says that a backend cannot be loaded or compiled, not that a call was wrong.

    Compilers fail at the first call: with their own errors, or with whatever a broken library or a missing C compiler
    raises. Errors that our own code raises about arguments, and memory, are passed on.
    """
    if type(error).__module__.partition(".")[0] in ("numba", "llvmlite", "triton"):
        return True
    return name not in operation._proven and not isinstance(
        error, (ValueError, TypeError, MemoryError, torch.OutOfMemoryError)
    )


def _give_up(operation: Operation, name: str, error: Exception) -> None:
    text = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {text[0] if text else 'no message'}"
    operation._failed[name] = f"it failed: {reason}"
    _warn(
        f"the backend {name!r} cannot be used ({reason}); the definition serves instead, with the same results, slower"
    )


@functools.cache
def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)


@functools.cache
def _load(place: str) -> Callable[..., Any]:
    module, _, name = place.partition(":")
    loaded: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return loaded


@functools.cache
def _installed(package: str) -> bool:
    return find_spec(package) is not None


def _interpreted() -> bool:
    """Whether Triton's kernels run on a CPU, in its interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"
