"""Keeping results free of the caller's settings of PyTorch: autocast, default type and device, matmul precision."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")

_LOCK = threading.RLock()


def without_autocast(device: torch.device) -> AbstractContextManager[object]:
    """A context in which autocast is off for a device; free of cost where it is off already."""
    if torch.compiler.is_compiling() or not torch.is_autocast_enabled(device.type):
        return nullcontext()
    return torch.autocast(device.type, enabled=False)


def check_storage(tensor: torch.Tensor) -> None:
    """TypeError for a tensor within torch.func's transforms (grad, vjp, jvp, vmap), which recipes do not serve."""
    if torch.compiler.is_compiling():
        return
    try:
        tensor.data_ptr()
    except RuntimeError:
        raise TypeError(
            "recipes and keys cannot be used within torch.func.grad, vjp, jvp and vmap: they take whole batches, and "
            "are differentiable by torch.autograd (image.requires_grad_(), parameters, backward or torch.autograd.grad)"
        ) from None


def isolated(function: Callable[P, R]) -> Callable[P, R]:
    """Run a function with PyTorch's own settings, whatever the caller's are.

    For functions that make many tensors of default types. The default type and the precision of products belong to
    the whole process: where they are not PyTorch's own, they are set for as long as the call lasts.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.device("cpu"), without_autocast(torch.device("cpu")), _process_settings():
            return function(*args, **kwargs)

    return wrapper


@contextmanager
def _process_settings() -> Iterator[None]:
    if torch.get_default_dtype() == torch.float32 and torch.get_float32_matmul_precision() == "highest":
        yield
        return
    with _LOCK:
        dtype, precision = torch.get_default_dtype(), torch.get_float32_matmul_precision()
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_float32_matmul_precision(precision)
