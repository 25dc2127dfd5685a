"""Agreement: processes of a run exchange failures and signals before each step, so that all stop at the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import distributed

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Agreement:
    """Exchanges 16 bytes between the CPUs of all processes, without waiting for a GPU."""

    def __init__(self, fabric: Fabric) -> None:
        self._several = fabric.world_size > 1
        self._group: Any = None
        if self._several and distributed.get_backend() != "gloo":
            self._group = distributed.new_group(backend="gloo")

    def __call__(self, failed: bool, signal: int | None) -> tuple[bool, int | None]:
        """Whether any process has failed, and the highest signal number that any of them received."""
        if not self._several:
            return failed, signal
        message = torch.tensor([int(failed), signal or 0], device="cpu")
        distributed.all_reduce(message, op=distributed.ReduceOp.MAX, group=self._group)
        failures, number = message.tolist()
        return bool(failures), number or None
