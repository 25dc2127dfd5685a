"""Making the next batch on a GPU while the current one is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import torch

from degrade.stream.batch import Record

Step = TypeVar("Step")
Made = TypeVar("Made", bound=Record)


def ahead(batches: Iterator[tuple[Step, Made]], device: torch.device) -> Iterator[tuple[Step, Made]]:
    """Yield the same batches; on a GPU the next batch is enqueued on a CUDA stream of its own before each is yielded.

    The work of the consumer, on the current stream, and that of the next batch then run side by side. On a CPU,
    where both would compete for the same cores, batches are made when they are asked for.
    """
    if device.type != "cuda":
        yield from batches
        return
    side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    made = _next(batches, side)
    while made is not None:
        step, batch, done = made
        made = _next(batches, side)
        current = torch.cuda.current_stream(device)
        current.wait_event(done)
        for tensor in batch.tensors():
            tensor.record_stream(current)  # its memory is not given to the next batch while this one is in use
        yield step, batch


def _next(batches: Iterator[tuple[Step, Made]], side: torch.cuda.Stream) -> tuple[Step, Made, torch.cuda.Event] | None:
    with torch.cuda.stream(side):
        entry = next(batches, None)
        return None if entry is None else (*entry, side.record_event())
