"""A device for tests that lies in the CPU's memory, but whose tensors say that they are elsewhere.

It shows without a GPU what a GPU would: operations that mix its tensors with the CPU's raise, and `watched` lists what
the host would wait for (a number or a mask that is read, copies to the host) and what it would copy to the device.

It is PyTorch's "privateuse1" backend, written in Python. A DLPack capsule carries memory across: the code of its device
is changed from the CPU's to the extension's or back. Views are made by the CPU's kernels, so that autograd and writing
in place work; all other operations end in `_compute`, which checks the devices and computes on the CPU's aliases.
`register` changes the whole process: tests that use it run in one of their own (tests/test_pretend_device.py).
"""

from __future__ import annotations

import ctypes
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils import backend_registration

NAME = "pretend"
_ATEN = torch.ops.aten
_CPU_CODE, _OWN_CODE = 1, 12  # kDLCPU and kDLExtDev
_DEVICE_AT = 8  # bytes before the device in a DLTensor: the pointer to its memory


# what a host does


@dataclass
class Watch:
    """What a stretch of code made the host do.

    Attributes:
        waits: what it waited for, and from which line of the project.
        copies: what it copied to the device, likewise.
        operations: how many it started there, views and convolutions apart.
    """

    waits: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    operations: int = 0


_watches: list[Watch] = []


@contextmanager
def watched() -> Iterator[Watch]:
    """Note the waits and copies of a block."""
    watch = Watch()
    _watches.append(watch)
    try:
        yield watch
    finally:
        _watches.remove(watch)


def _note(kind: str, what: str) -> None:
    if _watches:
        here = [frame for frame in traceback.extract_stack() if "/tests/pretend/device" not in frame.filename]
        ours = [frame for frame in here if any(f"/{room}/" in frame.filename for room in ("degrade", "enhance"))]
        place = (ours or here)[-1]
        for watch in _watches:
            getattr(watch, kind).append(f"{what} at {place.filename.rpartition('/main/')[2]}:{place.lineno}")


# memory that is on both sides

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


def _to_device(tensor: Tensor) -> Tensor:
    return _carried(tensor.detach().resolve_conj().resolve_neg(), _OWN_CODE)


def to_cpu(tensor: Tensor) -> Tensor:
    return _carried(tensor, _CPU_CODE)


def is_own(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device.type == NAME


# operations

_READS = frozenset(
    [
        "nonzero",
        "nonzero_numpy",
        "masked_select",
        "equal",
        "is_nonzero",
        "allclose",
        "_unique",
        "_unique2",
        "unique_dim",
        "unique_consecutive",
        "unique_dim_consecutive",
        "bincount",
        "histogram",
        "multinomial",
        "linalg_eigh",
        "_linalg_eigh",
        "_linalg_eigvals",
        "_linalg_svd",
        "linalg_lstsq",
    ]
)
"""Operations for which CUDA reads a number back, such as the size of the result."""

_INDEXING = frozenset(["index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put"])
_TAKES_SCALARS = frozenset(
    [
        "where",
        "lerp",
        "lerp_",
        "fill_",
        "masked_fill",
        "masked_fill_",
        "index_fill",
        "index_fill_",
        "clamp",
        "clamp_",
        "addcmul",
        "addcdiv",
    ]
)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)


def _given(op: Any, args: Any, kwargs: Any) -> list[tuple[Any, Any]]:
    """The arguments of an operation with their values."""
    arguments = op._schema.arguments
    named = [(argument, kwargs[argument.name]) for argument in arguments if argument.name in kwargs]
    return [*zip(arguments, args, strict=False), *named]


def _writes(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def _check_devices(op: Any, name: str, given: list[tuple[Any, Any]]) -> None:
    """RuntimeError where an operation mixes devices in a way that CUDA refuses."""
    scalars = torch.Tag.pointwise in op.tags or name in _TAKES_SCALARS or name.startswith("_foreach")
    for argument, value in given:
        for tensor in _tensors(value):
            indices = name in _INDEXING and argument.name == "indices"
            scalar = tensor.ndim == 0 and scalars and not _writes(argument)
            if not (is_own(tensor) or indices or scalar):
                raise RuntimeError(
                    f"expected all tensors on {NAME}, but {argument.name} of {name}, of shape {tuple(tensor.shape)}, "
                    f"is on {tensor.device}"
                )


def _note_reads(name: str, given: list[tuple[Any, Any]], kwargs: dict[str, Any]) -> None:
    if name in _READS or (name == "repeat_interleave" and kwargs.get("output_size") is None):
        _note("waits", name)
    elif name in _INDEXING:
        values = {argument.name: value for argument, value in given}
        indices = list(_tensors(values["indices"]))
        masks = [one for one in indices if one.dtype in (torch.bool, torch.uint8)]
        put = values.get("values")
        filled = len(indices) == len(masks) == 1 and isinstance(put, Tensor) and put.numel() == 1
        if masks and name != "index" and not filled:  # `index` asks for `nonzero`, which is noted
            _note("waits", f"{name} with a mask")
        for one in indices:
            if not is_own(one):
                _note("copies", f"indices of {name}")


def _compute(op: Any, *args: Any, **kwargs: Any) -> Any:
    name = op._schema.name.removeprefix("aten::")
    given = _given(op, args, kwargs)
    for watch in _watches:
        watch.operations += 1
    _check_devices(op, name, given)
    _note_reads(name, given, kwargs)
    sized: list[tuple[Tensor, Tensor]] = []

    def down(value: Any, out: bool = False) -> Any:
        if isinstance(value, (list, tuple)):
            return [down(one, out) for one in value]
        if isinstance(value, torch.device) and value.type == NAME:
            return torch.device("cpu")
        if not is_own(value):
            return value
        if out and value.numel() == 0:  # the operation sizes it
            sized.append((value, torch.empty(0, dtype=value.dtype)))
            return sized[-1][1]
        return to_cpu(value)

    outs = {argument.name for argument in op._schema.arguments if argument.is_out}
    numbers = any(a.type.kind() == "TensorType" and isinstance(v, (int, float, complex)) for a, v in given)
    called = op.overloadpacket if numbers else op  # which finds the overload that takes a number
    result = called(*map(down, args), **{key: down(value, key in outs) for key, value in kwargs.items()})
    for own, made in sized:
        if made.numel():
            _resize(own, list(made.shape))
            to_cpu(own).copy_(made)
    return _returned(op, given, result)


def _returned(op: Any, given: list[tuple[Any, Any]], result: Any) -> Any:
    """What an operation returns on the device: what it wrote to as it is, what is new carried there."""

    def up(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(up(one) for one in value)
        return _to_device(value) if isinstance(value, Tensor) and value.device.type == "cpu" else value

    returns = op._schema.returns
    if not returns:
        return None
    written = (value for argument, value in given if _writes(argument))
    many = result if len(returns) > 1 else (result,)
    made = [next(written) if _writes(kind) else up(value) for kind, value in zip(returns, many, strict=True)]
    return tuple(made) if len(returns) > 1 else made[0]


# operations that have no fallback


def _empty(size: Any, *, dtype: Any = None, memory_format: Any = None, **_: Any) -> Tensor:
    return _to_device(_ATEN.empty.memory_format(size, dtype=dtype, device="cpu", memory_format=memory_format))


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **_: Any) -> Tensor:
    return _to_device(_ATEN.empty_strided.default(size, stride, dtype=dtype, device="cpu"))


def _copy(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    if is_own(source) and not is_own(target):
        _note("waits", "copy to the host")
    elif is_own(target) and not is_own(source):
        _note("copies", f"copy of {tuple(source.shape)}")
    one, other = (to_cpu(tensor) if is_own(tensor) else tensor for tensor in (source, target))
    other.copy_(one)
    return target


def _resize(own: Tensor, size: Any, *, memory_format: Any = None) -> Tensor:
    if list(own.shape) != list(size):
        new = _to_device(torch.empty(size, dtype=own.dtype))
        _on_cpu(_ATEN.set_.source_Storage_storage_offset)(own, new.untyped_storage(), 0, list(size), list(new.stride()))
    return own


def _set(own: Tensor, source: Tensor) -> Any:
    storage, shape, stride = source.untyped_storage(), list(source.shape), list(source.stride())
    return _on_cpu(_ATEN.set_.source_Storage_storage_offset)(own, storage, source.storage_offset(), shape, stride)


def _item(own: Tensor) -> Any:
    _note("waits", "item")
    return to_cpu(own).item()


def _convolution(image: Tensor, weight: Tensor, bias: Tensor | None, *rest: Any) -> Tensor:
    op = _ATEN.convolution_overrideable.default
    _check_devices(op, "convolution", _given(op, (image, weight, bias), {}))
    carried = None if bias is None else to_cpu(bias)
    return _to_device(_ATEN.convolution(to_cpu(image), to_cpu(weight), carried, *rest))


def _convolution_backward(grad: Tensor, image: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor | None, ...]:
    *shape, transposed, padding, groups, wanted = rest
    channels = weight.shape[1] * groups if transposed else weight.shape[0]
    sizes = [channels] if wanted[2] else None
    carried = (to_cpu(tensor) for tensor in (grad, image, weight))
    made = _ATEN.convolution_backward(*carried, sizes, *shape, transposed, padding, groups, wanted)
    return tuple(None if one is None else _to_device(one) for one in made)


def _on_cpu(op: Any) -> Callable[..., Any]:
    """The CPU's kernel, called with tensors of the device: for views, which touch no memory."""
    return lambda *args, **kwargs: op._op_dk(torch._C.DispatchKey.CPU, *args, **kwargs)


class _Module(backend_registration._DummyBackendModule):  # type: ignore[misc]
    """What PyTorch asks of `torch.pretend`."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def synchronize(self, device: Any = None) -> None:
        _note("waits", "synchronize")

    def get_rng_state(self, device: Any = None) -> Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: Tensor, device: Any = None) -> None:
        torch.set_rng_state(state)


_KERNELS: dict[str, Callable[..., Any]] = {
    "empty.memory_format": _empty,
    "empty_strided": _empty_strided,
    "_copy_from": _copy,
    "_copy_from_and_resize": _copy,
    "resize_": _resize,
    "_local_scalar_dense": _item,
    "set_.source_Storage_storage_offset": _on_cpu(_ATEN.set_.source_Storage_storage_offset),
    "set_.source_Tensor": _set,
    "convolution_overrideable": _convolution,
    "convolution_backward_overrideable": _convolution_backward,
    "as_strided": _on_cpu(_ATEN.as_strided.default),
    "view": _on_cpu(_ATEN.view.default),
    "_reshape_alias": _on_cpu(_ATEN._reshape_alias.default),
    "unfold": _on_cpu(_ATEN.unfold.default),
}

_libraries: list[Any] = []  # kernels are there as long as their libraries are


def register() -> None:
    """Make the device "pretend" known to PyTorch, in this process and for good."""
    backend_registration._setup_privateuseone_for_python_backend(NAME, backend_module=_Module())  # type: ignore[attr-defined]
    every, autocast, own = torch.library.Library("_", "IMPL"), torch.library.Library("_", "IMPL"), None
    every.fallback(_compute, "PrivateUse1")
    own = torch.library.Library("aten", "IMPL")
    for name, kernel in _KERNELS.items():
        own.impl(name, kernel, "PrivateUse1")
    autocast.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    _libraries.extend([every, autocast, own])
    torch.__future__.set_swap_module_params_on_conversion(True)  # else optimizers keep the parameters that were
    _copy_deeply()


def _copy_deeply() -> None:
    """Have copy.deepcopy clone tensors of the device: PyTorch makes a storage, for which there is no allocator."""
    plain = Tensor.__deepcopy__

    def deepcopy(self: Tensor, memo: dict[int, Any]) -> Any:
        if not is_own(self) or isinstance(self, torch.nn.Parameter) or id(self) in memo:
            return plain(self, memo)  # type: ignore[no-untyped-call]
        memo[id(self)] = self.detach().clone().requires_grad_(self.requires_grad)
        return memo[id(self)]

    Tensor.__deepcopy__ = deepcopy  # type: ignore[method-assign]
