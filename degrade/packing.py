"""The parameters of a batch as one table of numbers, (B, columns), which kernels on a CPU and on a GPU read.

Columns are in the order of the model's `ParameterTable`, but keys come first (two columns each, the bits of the int64)
and parameters with N values per sample come last. Their offsets are derived from the table; nobody counts columns.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.checks import plain
from degrade.isolation import check_storage
from degrade.ops.constant import constant
from degrade.parameters import Parameter, Parameters, ParameterTable

_SLACK = 1e-6  # of an allowed range's ends: float32 may round them outwards


@dataclass(frozen=True)
class Column:
    """Where a parameter begins: at `start + items * N`; it has `width` numbers, per item if it is one of items."""

    start: int
    items: int
    width: int
    per_item: bool = False

    def span(self, count: int) -> tuple[int, int]:
        """First column, and the one after the last, for N = `count`."""
        first = self.start + self.items * count
        return first, first + self.width * (count if self.per_item else 1)


@functools.lru_cache(maxsize=256)
def columns(table: ParameterTable) -> dict[str, Column]:
    """The columns of every parameter of a table."""
    found, start, items = {}, 0, 0
    fixed = [p for p in table if "N" not in p.shape]
    for p in sorted(fixed, key=lambda p: p.kind != "key"):  # keys first: their bits are read as int64
        width = 2 if p.kind == "key" else math.prod(int(size) for size in p.shape)
        found[p.name] = Column(start, 0, width)
        start += width
    for p in table:
        if "N" in p.shape:
            width = math.prod(int(size) for size in p.shape if size != "N")
            found[p.name] = Column(start, items, width, per_item=True)
            items += width
    return found


@functools.lru_cache(maxsize=256)
def _spans(table: ParameterTable, count: int) -> tuple[tuple[str, int, int, bool], ...]:
    """Of each parameter: its name, its first column, the one after its last, and whether it is a key; in that order."""
    spans = ((name, *column.span(count), table[name].kind == "key") for name, column in columns(table).items())
    return tuple(sorted(spans, key=lambda span: span[1]))


@functools.lru_cache(maxsize=256)
def _width(table: ParameterTable, count: int) -> int:
    """Columns of a packed table: an even number, so that every row's keys are aligned."""
    last = max(column.span(count)[1] for column in columns(table).values())
    return last + last % 2


def _keys(table: ParameterTable) -> int:
    """How many columns keys take."""
    return sum(2 for p in table if p.kind == "key")


@dataclass(frozen=True)
class Packed:
    """The parameters of a batch in one tensor.

    Args:
        table: of the model.
        rows: (B, columns) float32, contiguous.
        count: N, the number of items (spots) per sample.
    """

    table: ParameterTable
    rows: Tensor
    count: int

    def to(self, device: torch.device) -> Packed:
        """A copy on a device: one transfer, which the host does not wait for."""
        if device == self.rows.device:
            return self
        rows = self.rows.pin_memory() if device.type == "cuda" else self.rows
        return Packed(self.table, rows.to(device, non_blocking=True), self.count)

    def unpack(self) -> Parameters:
        """The parameters again, on the rows' device: real ones are views of the rows."""
        found, batch = {}, self.rows.shape[0]
        for p in self.table:
            first, last = columns(self.table)[p.name].span(self.count)
            part = self.rows[:, first:last]
            shape = (batch, *(self.count if size == "N" else size for size in p.shape))
            if p.kind == "key":
                found[p.name] = part.clone(memory_format=torch.contiguous_format).view(torch.int64).reshape(shape)
            else:
                found[p.name] = part.reshape(shape).to(p.dtype)
        return found

    def largest(self) -> dict[str, float]:
        """The largest value of each real parameter: measured on a CPU, the largest allowed one on a GPU."""
        reals = [p for p in self.table if p.kind == "real"]
        if self.rows.device.type != "cpu" or not len(self.rows):
            return {p.name: p.allowed[1] for p in reals}
        most = self.rows.numpy().max(axis=0)
        spans = {p.name: columns(self.table)[p.name].span(self.count) for p in reals}
        return {name: float(most[first:last].max(initial=0.0)) for name, (first, last) in spans.items()}

    def check(self) -> None:
        """ValueError, with the parameter's name, value and allowed range, where one is not finite or out of range."""
        low, high = _limits(self.table, self.count)
        start = _keys(self.table)
        rows = self.rows.detach().cpu().numpy()[:, start:]
        right = (rows >= low) & (rows <= high)  # false for NaN
        if right.all():
            return
        row, column = (int(place[0]) for place in np.nonzero(~right))
        parameter = self._parameter_at(start + column)
        raise ValueError(
            f"parameter {parameter.name!r} must be {parameter.range_text}; it holds {float(rows[row, column]):g}"
        )

    def clamped(self) -> Packed:
        """The rows moved into the allowed ranges, NaN to the lowest value: for parameters nobody has looked at."""
        ends = (tuple(map(float, end)) for end in _limits(self.table, self.count))
        low, high = (constant(end, torch.float32, self.rows.device) for end in ends)
        start = _keys(self.table)
        rows = self.rows.clone()
        rows[:, start:] = torch.minimum(torch.maximum(torch.nan_to_num(rows[:, start:]), low), high)
        return Packed(self.table, rows, self.count)

    def _parameter_at(self, column: int) -> Parameter:
        for name, place in columns(self.table).items():
            first, last = place.span(self.count)
            if first <= column < last:
                return self.table[name]
        raise IndexError(column)


@functools.lru_cache(maxsize=256)
def _limits(table: ParameterTable, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The allowed ends of every column behind the keys."""
    start = _keys(table)
    low, high = np.zeros((2, _width(table, count)), np.float32)
    for p in table:
        if p.kind != "key":
            first, last = columns(table)[p.name].span(count)
            low[first:last] = p.allowed[0] - _SLACK * abs(p.allowed[0])
            high[first:last] = p.allowed[1] + _SLACK * abs(p.allowed[1])
    return low[start:], high[start:]


def pack(table: ParameterTable, parameters: Mapping[str, Tensor], count: int) -> Packed:
    """The parameters of a batch, of the shapes that `ParameterTable.check_shapes` asks for, as one table."""
    spans, batch = _spans(table, count), len(parameters[table.names[0]])
    if any(parameters[span[0]].device.type != "cpu" for span in spans):
        return Packed(table, _pack_on_device(table, parameters, count), count)
    rows = np.zeros((batch, _width(table, count)), np.float32)
    for name, first, last, key in spans:
        value = parameters[name].detach().numpy()
        if key:
            value = np.ascontiguousarray(value, np.int64).view(np.int32).reshape(batch, 2)
            rows.view(np.int32)[:, first:last] = value
        else:
            rows[:, first:last] = value.reshape(batch, last - first)
    return Packed(table, torch.from_numpy(rows), count)


def pack_given(
    table: ParameterTable, parameters: Parameters, image: Tensor, validate: bool
) -> tuple[Parameters, Packed, Callable[[], Mapping[str, float]]]:
    """Check parameters that a caller gives, and bring them to the device of their images.

    Args:
        table: of the model.
        parameters: names to tensors (B, ...), on the CPU or on the image's device.
        image: (B, C, H, W).
        validate: look at values on a GPU too, which is waited for; otherwise they are moved into their allowed ranges.

    Returns:
        the parameters and the same packed, both on the image's device, and what measures their largest values.

    Raises:
        ValueError: a parameter that is missing, of another shape, not finite or out of its range, by name.
        TypeError: a parameter that is of another type.
    """
    if not isinstance(parameters, Mapping):
        raise TypeError(f"parameters must be a dictionary, as draw returns it; got {type(parameters).__name__}")
    count = table.check_shapes(parameters, image.shape[0])
    parameters = {name: plain(parameters[name]) for name in table.names}
    for value in parameters.values():
        check_storage(value)
    packed = pack(table, parameters, count)
    if packed.rows.device.type == "cpu" or validate:
        packed.check()
    else:
        packed = packed.clamped()
    on_device = packed.to(image.device)
    if image.device.type != "cpu" and not any(value.requires_grad for value in parameters.values()):
        parameters = on_device.unpack()
    return parameters, on_device, functools.partial(packed.largest)


def _pack_on_device(table: ParameterTable, parameters: Mapping[str, Tensor], count: int) -> Tensor:
    (device,) = {parameters[name].device for name in table.names if parameters[name].device.type != "cpu"}
    parts, end, batch = [], 0, len(parameters[table.names[0]])
    for name, first, end, key in _spans(table, count):
        value = parameters[name].detach().to(device)
        if key:
            value = value.to(torch.int64).contiguous().view(torch.int32).view(torch.float32)
        parts.append(value.to(torch.float32).reshape(batch, end - first))
    parts.append(parts[0].new_zeros(batch, _width(table, count) - end))
    return torch.cat(parts, dim=1)
