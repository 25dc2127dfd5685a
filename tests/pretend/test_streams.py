"""Streams whose batches are made on a device: nothing is mixed, and a batch costs no more waiting than its recipe."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import degrade
from degrade.stream import MixedStream, PairStream, UnpairedStream
from tests.pretend.memory import NAME
from tests.pretend.watch import Watch, watched

EYES, CHESTS = "phantom:fundus?count=4&size=64", "phantom:chest?count=4&size=64"

STREAMS: dict[str, tuple[Any, int]] = {  # and the waits of a batch: the field of view's box, and frames
    "pairs": (lambda **o: PairStream(EYES, "cofe-net", batch_size=2, hflip=True, **o), 2),
    "views": (lambda **o: PairStream(EYES, "pce-net", batch_size=2, views=3, crop=48, **o), 2),
    "noise": (lambda **o: PairStream(CHESTS, "x-bdcnn", batch_size=2, crop=32, patches=2, **o), 0),
    "unpaired": (lambda **o: UnpairedStream(EYES, EYES + "&seed=1", batch_size=2, **o), 0),
    "low recipe": (lambda **o: UnpairedStream(None, CHESTS, batch_size=1, low_recipe="x-bdcnn", **o), 0),
    "mixed": (lambda **o: MixedStream(CHESTS, "x-bdcnn", CHESTS, batch_size=2, unlabelled_size=1, **o), 0),
}


@pytest.mark.parametrize("name", STREAMS)
def test_batches_are_made_on_the_device(name: str) -> None:
    make, waits = STREAMS[name]
    batches = iter(make(device=NAME))
    next(batches)
    with watched() as watch:
        batch = next(batches)
    assert {tensor.device.type for tensor in batch.tensors()} == {NAME}
    assert sum("degrade/" in wait for wait in watch.waits) <= waits, watch.waits
    expected = list(make(device="cpu"))[1]
    for name, one in named(batch):
        other = dict(named(expected))[name]
        assert torch.allclose(one.cpu().float(), other.float(), atol=1e-5), name


def test_operations_do_not_grow_with_the_batch() -> None:
    def operations(count: int) -> int:
        source = "phantom:chest?count=6&size=96"
        stream = PairStream(source, "x-bdcnn", batch_size=count, size=64, crop=32, device=NAME)
        next(iter(stream))
        with watched() as watch:
            next(iter(stream))
        return watch.operations

    assert operations(2) == operations(6)


def named(record: Any, prefix: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors of a batch, with their names."""
    entries = record.items() if isinstance(record, dict) else vars(record).items()
    for name, value in entries:
        if isinstance(value, torch.Tensor):
            yield prefix + name, value
        elif isinstance(value, dict) or hasattr(value, "ids"):
            yield from named(value, f"{prefix}{name}.")


def test_a_planted_wait_is_noted() -> None:
    def field_of_view(image: torch.Tensor) -> torch.Tensor:
        return (image.amax(1, keepdim=True) > image.mean().item()).float()

    stream = PairStream(CHESTS, "x-bdcnn", batch_size=2, device=NAME, field_of_view=field_of_view)
    with watched() as watch:
        next(iter(stream))
    assert _own(watch)


def _own(watch: Watch) -> list[str]:
    return [wait for wait in watch.waits if wait.startswith("item")]


def test_batches_can_be_moved() -> None:
    batch = next(iter(PairStream(EYES, "cofe-net", batch_size=2)))
    moved = batch.to(NAME)
    assert moved.degraded.device.type == NAME
    assert torch.equal(moved.to("cpu").degraded, batch.degraded)
    assert torch.equal(degrade.make_keys(0, batch.ids), moved.keys.cpu())
