"""Parameters declared once: a table per model, from which everything that has to know them is derived."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Parameters = dict[str, Tensor]
"""What was done to each sample: names to tensors, (B, ...) each. Lengths are fractions of the shorter side."""

MOST_ITEMS = 1000
"""Upper limit for N, the number of items (spots) that a parameter may have per sample."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a model.

    Args:
        name: its key in the dictionary that `Degradation.draw` returns.
        meaning: what it is, for readers of docs/parameters.md.
        allowed: smallest and largest value that `apply` takes. A key may be any int64.
        unit: of the value; empty for plain numbers.
        shape: of one sample. "N" stands for the number of items (spots), the same for all samples of a batch.
        kind: "real" numbers are float32; "count" are whole numbers; "stages" are the bits of the stages that act,
            written as binary digits; "key" is a key for random numbers. All but "real" are int64.
        neutral: the value at which its stage changes nothing; None where no single value does.
        stage: the stage that reads it.
        differentiable: whether `apply` has a gradient in it (real parameters only).
        from_setting: drawn uniformly from the setting of the same name, without further steps.
    """

    name: str
    meaning: str
    allowed: tuple[float, float] = (0.0, 0.0)
    unit: str = ""
    shape: tuple[int | Literal["N"], ...] = ()
    kind: Literal["real", "count", "stages", "key"] = "real"
    neutral: float | None = None
    stage: str = ""
    differentiable: bool = True
    from_setting: bool = False

    @property
    def dtype(self) -> torch.dtype:
        return torch.float32 if self.kind == "real" else torch.int64

    @property
    def range_text(self) -> str:
        """The allowed values in words."""
        if self.kind == "key":
            return "any whole number of 64 bits"
        low, high = self.allowed
        return f"from {low:g} to {high:g} {self.unit}".rstrip()


class ParameterTable:
    """The parameters of a model, in the order in which its stages act.

    >>> table = ParameterTable(Parameter("sigma", "noise", (0, 255)), Parameter("noise_key", "key", kind="key"))
    >>> table.names
    ('sigma', 'noise_key')
    """

    def __init__(self, *parameters: Parameter) -> None:
        self._by_name = {parameter.name: parameter for parameter in parameters}

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._by_name.values())

    def __getitem__(self, name: str) -> Parameter:
        return self._by_name[name]

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters that every draw returns."""
        return tuple(self._by_name)

    def with_allowed(self, **allowed: tuple[float, float]) -> ParameterTable:
        """The same table with other allowed ranges."""
        changed = (replace(p, allowed=allowed[p.name]) if p.name in allowed else p for p in self)
        return ParameterTable(*changed)

    def only(self, parameters: Parameters, *stages: str) -> Parameters:
        """The parameters with every stage neutral but those named.

        A stage whose parameters have no neutral values stays as it is.
        """
        neutral = {
            p.name: torch.full_like(parameters[p.name], p.neutral)
            for p in self
            if p.neutral is not None and p.stage not in stages
        }
        return {**parameters, **neutral}

    def to_markdown(self) -> str:
        """The table as a page has it: name, shape and type, allowed values, neutral value, meaning."""
        lines = ["| name | shape | allowed | neutral | stage | meaning |", "|---|---|---|---|---|---|"]
        for p in self:
            shape = "(" + ", ".join(["B", *map(str, p.shape)]) + ("," if not p.shape else "") + ")"
            shape += "" if p.kind == "real" else " int64"
            neutral = "" if p.neutral is None else f"{p.neutral:g}"
            meaning = p.meaning + ("" if p.differentiable or p.kind != "real" else " (no gradient)")
            lines.append(f"| `{p.name}` | {shape} | {p.range_text} | {neutral} | {p.stage} | {meaning} |")
        return "\n".join(lines) + "\n"

    def count(self, parameters: Mapping[str, Tensor]) -> int:
        """N, the number of items per sample."""
        for p in self:
            if p.shape[:1] == ("N",):
                return parameters[p.name].shape[1]
        return 0

    def check_shapes(self, parameters: Mapping[str, Tensor], batch: int) -> int:
        """TypeError or ValueError where a parameter is missing, of another type, or of another shape.

        Returns:
            N, the number of items per sample.
        """
        items: int | None = None
        for p in self:
            value = parameters.get(p.name)
            if value is None:
                raise ValueError(f"parameters lack {p.name!r}; they have {', '.join(map(str, parameters))}")
            if not isinstance(value, Tensor):
                raise TypeError(f"parameter {p.name!r} must be a tensor; got {type(value).__name__}")
            number = not value.is_complex() and value.dtype != torch.bool
            if not number or (p.kind != "real" and value.is_floating_point()):
                raise TypeError(f"parameter {p.name!r} must be {p.dtype}; got {value.dtype}")
            if items is None and p.shape[:1] == ("N",) and value.ndim > 1:
                items = value.shape[1]
            shape = (batch, *((items or 0) if size == "N" else size for size in p.shape))
            if tuple(value.shape) != shape:
                raise ValueError(f"parameter {p.name!r} must have shape {shape}; got {tuple(value.shape)}")
        if (items or 0) > MOST_ITEMS:
            raise ValueError(f"parameters may have at most {MOST_ITEMS} items per sample; got {items}")
        return items or 0
