"""Meter: losses and time between two lines of the log."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, distributed

from enhance.trainers.base import Losses, Trainer
from enhance.training.processes import RunError

if TYPE_CHECKING:
    from lightning_fabric import Fabric

T = TypeVar("T")


class Meter:
    """Collects losses without waiting for the GPU, and averages them for a line of the log.

    Args:
        fabric: processes over which losses are averaged.
        images: number of images in a step, in all processes together.
    """

    def __init__(self, fabric: Fabric, images: int) -> None:
        self._fabric, self._images = fabric, images
        self._steps: list[tuple[int, Losses]] = []
        self._waited, self._since = 0.0, time.perf_counter()

    def timed(self, batches: Iterator[T]) -> Iterator[T]:
        """Yield the same batches and measure the time spent waiting for them."""
        while True:
            start = time.perf_counter()
            batch = next(batches)
            self._waited += time.perf_counter() - start
            yield batch

    def add(self, step: int, losses: Losses) -> None:
        """Add the losses of a step, counted from 1."""
        self._steps.append((step, losses))

    @property
    def any(self) -> bool:
        """Whether there have been steps since the last line."""
        return bool(self._steps)

    def line(self, epoch: int, trainer: Trainer) -> dict[str, Any]:
        """Line of the log about the steps since the last one.

        Raises:
            RunError: a loss is not finite; raised in all processes.
        """
        values = self._values()
        rates = {name: optimizer.param_groups[0]["lr"] for name, optimizer in trainer.optimizers.items()}
        seconds = time.perf_counter() - self._since
        line = {
            "step": self._steps[-1][0],
            "epoch": epoch,
            "losses": {name: sum(several) / len(several) for name, several in values.items()},
            "rates": rates,
            "seconds": round(seconds, 4),
            "images_per_second": round(self._images * len(self._steps) / seconds, 3),
            "waiting": round(self._waited / seconds, 4),
        }
        self._steps = []
        self._waited, self._since = 0.0, time.perf_counter()
        return line

    def _values(self) -> dict[str, list[float]]:
        """Losses of all steps by name, means over the processes; each is checked."""
        entries = [(step, name, loss) for step, losses in self._steps for name, loss in losses.items()]
        device = self._fabric.device
        flat = (
            torch.stack([_scalar(loss, device) for _, _, loss in entries]) if entries else torch.zeros(0, device=device)
        )
        if self._fabric.world_size > 1:
            distributed.all_reduce(flat)
            flat /= self._fabric.world_size
        values: dict[str, list[float]] = {}
        for (step, name, _), number in zip(entries, flat.tolist(), strict=True):
            if not math.isfinite(number):
                raise RunError(f"loss {name!r} is {number} in step {step}; the checkpoint before is intact")
            values.setdefault(name, []).append(number)
        return values


def _scalar(loss: Tensor, device: torch.device) -> Tensor:
    return loss.detach().to(device=device, dtype=torch.float32).reshape(())
