"""Parameters as JSON: one record per degraded image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from degrade.base import Parameters
from degrade.models.fundus import sampling as law
from degrade.text import shown

_MOST_NUMBERS = 100_000

Record = dict[str, Any]
"""Parameter names to numbers and nested lists of numbers; `type` as its three-digit code, keys as text."""


def to_record(parameters: Parameters, index: int) -> Record:
    """The parameters of sample `index` as JSON values: as few digits as tell the same float32.

    >>> to_record({"brightness": torch.tensor([0.7, 0.9]), "type": torch.tensor([7, 3])}, 1)
    {'brightness': 0.9, 'type': '011'}
    """
    record = {name: _plain(value[index]) for name, value in parameters.items()}
    for name in record:
        if name.endswith("_key"):  # 64 bits: as numbers, programs that read float64 would round them
            record[name] = str(record[name])
    if "type" in record:
        record["type"] = f"{record['type']:03b}"
    return record


def from_record(record: Mapping[str, Any]) -> Parameters:
    """The inverse of `to_record`, exactly: parameters of one sample, (1, ...) each.

    Raises:
        ValueError: for a record that is not one of ours. The message names the parameter.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"parameters are names to numbers; got {shown(record)}")
    parameters = {}
    for name, value in record.items():
        try:
            parameters[name] = _read(name, value)
        except (TypeError, ValueError, OverflowError, RuntimeError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ValueError(f"parameter {shown(name)} = {shown(value)}: {reason}") from None
    return parameters


def _read(name: str, value: Any) -> Tensor:
    """One parameter (1, ...)."""
    if name == "type":
        if not isinstance(value, str) or value not in law.TYPES:
            raise ValueError(f"allowed is one of {', '.join(law.TYPES)}")
        return torch.tensor([int(value, 2)])
    if name.endswith("_key"):
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
        if number is None or not -(2**63) <= number < 2**63:
            raise ValueError("allowed is a whole number of 64 bits, as text or as a number")
        return torch.tensor([number])
    if not _is_numeric(value):
        raise ValueError("allowed is a number, or a list of numbers")
    array = np.asarray(value)
    if array.dtype.kind not in "if" or array.ndim > 2 or array.size > _MOST_NUMBERS:
        raise ValueError(f"allowed is a number, or a list of at most {_MOST_NUMBERS:,} numbers")
    kind = torch.int64 if array.dtype.kind == "i" and _is_whole(name) else torch.float32
    tensor = torch.tensor(array.tolist(), dtype=kind)[None]
    if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
        raise ValueError("allowed are finite numbers")
    return tensor


def _is_numeric(value: Any, depth: int = 0) -> bool:
    if isinstance(value, list):
        return depth < 2 and all(_is_numeric(part, depth + 1) for part in value)
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plain(value: Tensor) -> Any:
    if value.ndim:
        return [_plain(item) for item in value]
    return float(str(np.float32(value.item()))) if value.is_floating_point() else int(value)


def _is_whole(name: str) -> bool:
    return name in ("type", "spot_count") or name.endswith("_key")
