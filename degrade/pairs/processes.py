"""The processes that share a run, as torchrun starts them; one process alone is a team of one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from torch import distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """This process's place among `size` processes; `group` is theirs where torch.distributed has another default."""

    rank: int = 0
    local_rank: int = 0
    size: int = 1
    group: distributed.ProcessGroup | None = None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def tell(self, value: T) -> T:
        """Send the first process's value to every process."""
        values = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values, src=0, group=self.group)
        return values[0]

    def gather(self, value: T) -> list[T]:
        """Collect every process's value in the first process, which waits for all; nothing in the others."""
        if self.size == 1:
            return [value]
        values: list[Any] | None = [None] * self.size if self.first else None
        distributed.gather_object(value, values, dst=0, group=self.group)
        return values or []


@contextmanager
def team() -> Iterator[Team]:
    """The processes of torch.distributed, or those that torchrun started, joined for as long as the context lasts."""
    patience = timedelta(days=30)  # a share may take long
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if distributed.is_available() and distributed.is_initialized():
        group = distributed.new_group(backend="gloo", timeout=patience)
        try:
            yield Team(distributed.get_rank(), local_rank, distributed.get_world_size(), group)
        finally:
            distributed.destroy_process_group(group)
        return
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team()
        return
    distributed.init_process_group("gloo", timeout=patience)
    try:
        yield Team(int(os.environ["RANK"]), local_rank, size)
    finally:
        distributed.destroy_process_group()


def cores() -> int:
    """The processor cores of this process: what it may use, divided among the processes of this machine."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
