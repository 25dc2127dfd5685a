"""Kernels of the pretend device for operations that have no fallback: making, copying, views, convolutions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tests.pretend.memory import is_own, on_cpu, resize, to_cpu, to_device
from tests.pretend.operations import check_devices, given_arguments
from tests.pretend.watch import note

_ATEN = torch.ops.aten


def _empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
    return to_device(_ATEN.empty.memory_format(size, dtype=dtype, device="cpu", memory_format=memory_format))


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return to_device(_ATEN.empty_strided.default(size, stride, dtype=dtype, device="cpu"))


def _copy(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    if is_own(source) and not is_own(target):
        note("waits", "copy to the host")
    elif is_own(target) and not is_own(source):
        note("copies", f"copy of {tuple(source.shape)}")
    one, other = (to_cpu(tensor) if is_own(tensor) else tensor for tensor in (source, target))
    other.copy_(one)
    return target


def _item(own: Tensor) -> Any:
    note("waits", "item")
    return to_cpu(own).item()


def _convolution(image: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    op = _ATEN.convolution_overrideable.default
    check_devices(op, "convolution", given_arguments(op, (image, weight, bias), {}))
    carried = None if bias is None else to_cpu(bias)
    return to_device(_ATEN.convolution(to_cpu(image), to_cpu(weight), carried, *rest))


def _convolution_backward(grad: Tensor, image: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor | None, ...]:
    *shape, transposed, padding, groups, wanted = rest
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    sizes = [channels] if wanted[2] else None
    carried = (to_cpu(tensor) for tensor in (grad, image, weight))
    made = _ATEN.convolution_backward(*carried, sizes, *shape, transposed, padding, groups, wanted)
    return tuple(None if one is None else to_device(one) for one in made)


def _set(own: Tensor, source: Tensor) -> Any:
    storage, shape, stride = source.untyped_storage(), list(source.shape), list(source.stride())
    return on_cpu(_ATEN.set_.source_Storage_storage_offset)(own, storage, source.storage_offset(), shape, stride)


KERNELS: dict[str, Callable[..., Any]] = {
    "empty.memory_format": _empty,
    "empty_strided": _empty_strided,
    "_copy_from": _copy,
    "_copy_from_and_resize": _copy,
    "resize_": resize,
    "_local_scalar_dense": _item,
    "set_.source_Storage_storage_offset": on_cpu(_ATEN.set_.source_Storage_storage_offset),
    "set_.source_Tensor": _set,
    "convolution_overrideable": _convolution,
    "convolution_backward_overrideable": _convolution_backward,
    "as_strided": on_cpu(_ATEN.as_strided.default),
    "view": on_cpu(_ATEN.view.default),
    "_reshape_alias": on_cpu(_ATEN._reshape_alias.default),
    "unfold": on_cpu(_ATEN.unfold.default),
}
