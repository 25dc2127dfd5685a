"""Operations of the pretend device: the devices of their arguments checked, computed by the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from tests.pretend.memory import NAME, is_own, resize, to_cpu, to_device
from tests.pretend.watch import count_operation, note

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


def given_arguments(op: Any, args: Any, kwargs: Any) -> list[tuple[Any, Any]]:
    """The arguments of an operation with their values."""
    arguments = op._schema.arguments
    named = [(argument, kwargs[argument.name]) for argument in arguments if argument.name in kwargs]
    return [*zip(arguments, args, strict=False), *named]


def _writes(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def check_devices(op: Any, name: str, given: list[tuple[Any, Any]]) -> None:
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
        note("waits", name)
    elif name in _INDEXING:
        values = {argument.name: value for argument, value in given}
        indices = list(_tensors(values["indices"]))
        masks = [one for one in indices if one.dtype in (torch.bool, torch.uint8)]
        put = values.get("values")
        filled = len(indices) == len(masks) == 1 and isinstance(put, Tensor) and put.numel() == 1
        if masks and name != "index" and not filled:  # `index` asks for `nonzero`, which is noted
            note("waits", f"{name} with a mask")
        for one in indices:
            if not is_own(one):
                note("copies", f"indices of {name}")


def compute(op: Any, *args: Any, **kwargs: Any) -> Any:
    """Compute an operation on the CPU's aliases of its arguments, once their devices are checked."""
    name = op._schema.name.removeprefix("aten::")
    given = given_arguments(op, args, kwargs)
    count_operation()
    check_devices(op, name, given)
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
            resize(own, list(made.shape))
            to_cpu(own).copy_(made)
    return _returned(op, given, result)


def _returned(op: Any, given: list[tuple[Any, Any]], result: Any) -> Any:
    """What an operation returns on the device: what it wrote to as it is, what is new carried there."""

    def up(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return type(value)(up(one) for one in value)
        return to_device(value) if isinstance(value, Tensor) and value.device.type == "cpu" else value

    returns = op._schema.returns
    if not returns:
        return None
    written = (value for argument, value in given if _writes(argument))
    many = result if len(returns) > 1 else (result,)
    made = [next(written) if _writes(kind) else up(value) for kind, value in zip(returns, many, strict=True)]
    return tuple(made) if len(returns) > 1 else made[0]
