"""Memory that a tensor of the CPU and one of the pretend device share, carried across by DLPack capsules."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

NAME = "pretend"
_CPU_CODE, _OWN_CODE = 1, 12  # kDLCPU and kDLExtDev
_ATEN = torch.ops.aten
_DEVICE_AT = 8  # bytes before the device in a DLTensor: the pointer to its memory

_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_pointer.restype, _pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]


def _carried(tensor: Tensor, code: int) -> Tensor:
    capsule = torch._C._to_dlpack(tensor)
    start = _pointer(capsule, b"dltensor")
    assert start is not None
    device = ctypes.cast(start + _DEVICE_AT, ctypes.POINTER(ctypes.c_int32))
    device[0], device[1] = code, 0
    carried: Tensor = torch._C._from_dlpack(capsule)  # type: ignore[attr-defined]
    return carried


def to_device(tensor: Tensor) -> Tensor:
    """The same memory as a tensor of the pretend device."""
    return _carried(tensor.detach().resolve_conj().resolve_neg(), _OWN_CODE)


def to_cpu(tensor: Tensor) -> Tensor:
    """The same memory as a tensor of the CPU."""
    return _carried(tensor, _CPU_CODE)


def is_own(value: Any) -> bool:
    """Whether this is a tensor of the pretend device."""
    return isinstance(value, Tensor) and value.device.type == NAME


def on_cpu(op: Any) -> Callable[..., Any]:
    """The CPU's kernel, called with tensors of the device: for views, which touch no memory."""
    return lambda *args, **kwargs: op._op_dk(torch._C.DispatchKey.CPU, *args, **kwargs)


def resize(own: Tensor, size: Any, *, memory_format: Any = None) -> Tensor:
    """Give a tensor of the device this size, with memory of its own where it had another."""
    if list(own.shape) != list(size):
        new = to_device(torch.empty(size, dtype=own.dtype))
        on_cpu(_ATEN.set_.source_Storage_storage_offset)(own, new.untyped_storage(), 0, list(size), list(new.stride()))
    return own
