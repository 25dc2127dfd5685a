"""Parameters as JSON: one record per degraded image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from degrade.parameters import MOST_ITEMS, Parameter, Parameters, ParameterTable
from degrade.settings import closest
from degrade.text import shown

Record = dict[str, Any]
"""Parameter names to numbers and nested lists of numbers; stages as binary digits, keys as text."""


def to_record(table: ParameterTable, parameters: Parameters, index: int) -> Record:
    """The parameters of sample `index` as JSON values: as few digits as tell the same float32.

    >>> import degrade
    >>> recipe = degrade.recipe("x-bdcnn", eta=0.7, sigma=1)
    >>> record = to_record(recipe.parameter_table, recipe.draw(degrade.make_keys(0, 1), 64, 64), 0)
    >>> record["eta"], record["noise_key"]
    (0.7, '6817410909868072196')
    """
    return {p.name: _write(p, parameters[p.name][index]) for p in table}


def from_record(table: ParameterTable, record: Mapping[str, Any]) -> Parameters:
    """The inverse of `to_record`, exactly: parameters of one sample, (1, ...) each.

    Raises:
        ValueError: for a record that is not one of ours. The message names the parameter.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"parameters are names to numbers; got {shown(record)}")
    parameters = {}
    for name, value in record.items():
        if name not in table:
            raise ValueError(f"unknown parameter {shown(name)}{closest(str(name)[:100], table.names)}")
        try:
            parameters[name] = _read(table[name], value)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"parameter {shown(name)} = {shown(value)}: {reason}") from None
    return parameters


def _write(parameter: Parameter, value: Tensor) -> Any:
    if parameter.kind == "stages":
        return f"{int(value):03b}"
    if parameter.kind == "key":  # 64 bits: as numbers, programs that read float64 would round them
        return str(int(value))
    return _plain(value)


def _plain(value: Tensor) -> Any:
    if value.ndim:
        return [_plain(item) for item in value]
    return float(str(np.float32(value.item()))) if value.is_floating_point() else int(value)


def _read(parameter: Parameter, value: Any) -> Tensor:
    """One parameter (1, ...)."""
    if parameter.kind == "stages":
        most = int(parameter.allowed[1])
        codes = [f"{bits:03b}" for bits in range(1, most + 1)]
        if not isinstance(value, str) or value not in codes:
            raise ValueError(f"allowed is one of {', '.join(codes)}")
        return torch.tensor([int(value, 2)])
    if parameter.kind == "key":
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
        if number is None or not -(2**63) <= number < 2**63:
            raise ValueError("allowed is a whole number of 64 bits, as text or as a number")
        return torch.tensor([number])
    what = "a number" if parameter.kind == "real" else "a whole number"
    for size in reversed(parameter.shape):
        what = f"a list of {f'at most {MOST_ITEMS}' if size == 'N' else size}, each {what}"
    numbers = (int, float) if parameter.kind == "real" else (int,)
    if not _fits(parameter.shape, value, numbers):
        raise ValueError(f"allowed is {what}")
    tensor = torch.tensor(value, dtype=parameter.dtype)[None]
    if not tensor.numel():  # an empty list has lost how many numbers each item would have
        tensor = tensor.reshape(1, 0, *(size for size in parameter.shape if size != "N"))
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise ValueError("allowed are finite numbers")
    return tensor


def _fits(shape: tuple[int | str, ...], value: Any, numbers: tuple[type, ...]) -> bool:
    """Whether a value is a number, or lists of numbers, of this shape."""
    if not shape:
        return isinstance(value, numbers) and not isinstance(value, bool)
    if not isinstance(value, list) or len(value) > MOST_ITEMS or (shape[0] != "N" and len(value) != shape[0]):
        return False
    return all(_fits(shape[1:], part, numbers) for part in value)
