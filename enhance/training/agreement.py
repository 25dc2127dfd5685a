"""Agreement: what the processes of a run tell one another before every step, so that all stop at the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Agreement:
    """Sends 16 bytes over the CPUs of all processes: it waits for no GPU. One process alone agrees with itself."""

    def __init__(self, fabric: Fabric) -> None:
        self._several = fabric.world_size > 1
        self._group: Any = None
        if self._several and distributed.get_backend() != "gloo":
            self._group = distributed.new_group(backend="gloo")

    def __call__(self, failed: bool, signal: int | None) -> tuple[bool, int | None]:
        """Whether any process has failed, and the highest number of a signal that any of them was sent."""
        if not self._several:
            return failed, signal
        told = torch.tensor([int(failed), signal or 0], device="cpu")
        distributed.all_reduce(told, op=distributed.ReduceOp.MAX, group=self._group)
        failures, number = told.tolist()
        return bool(failures), number or None
