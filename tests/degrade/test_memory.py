"""Memory of results that nobody uses any more is lent again, and never while anybody does."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import degrade
from degrade import memory

SHAPE = (3, 1024, 1024)  # 12 MiB of float32


@pytest.fixture(autouse=True)
def spare() -> Iterator[None]:
    """Each test has spare memory of its own."""
    gc.collect()
    memory._spare.clear()
    yield
    memory._spare.clear()


def test_memory_is_lent_again_once_nobody_uses_it() -> None:
    first = memory.empty(SHAPE, torch.float32)
    place = first.data_ptr()
    assert first.shape == SHAPE
    assert first.is_contiguous()
    assert place % 64 == 0
    del first
    again = memory.empty((3, 1000, 1024), torch.float32)  # a little smaller fits
    assert again.data_ptr() == place
    assert memory.empty((3, 1000, 512), torch.float32).data_ptr() != place


def _used(tensor: torch.Tensor, use: str) -> tuple[Any, int]:
    """Something that keeps a tensor's memory, and where that is."""
    uses: dict[str, Callable[[], Any]] = {
        "tensor": lambda: tensor,
        "view": lambda: tensor[1, 5:7],
        "array": lambda: tensor.numpy()[1:],
        "storage": lambda: tensor.untyped_storage(),
        "graph": lambda: (tensor * torch.ones(1, requires_grad=True)).sum(),  # keeps it for the way back
    }
    return uses[use](), tensor.data_ptr()


@pytest.mark.parametrize("use", ["tensor", "view", "array", "storage", "graph"])
def test_memory_in_use_is_not_lent(use: str) -> None:
    kept, place = _used(memory.empty(SHAPE, torch.float32).fill_(7), use)
    gc.collect()
    second = memory.empty(SHAPE, torch.float32)
    assert second.data_ptr() != place
    del kept
    gc.collect()
    assert memory.empty(SHAPE, torch.float32).data_ptr() == place


def test_little_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_MOST", 3 << 22)
    held = [memory.empty((1, 1024, 1024), torch.float32) for _ in range(5)]
    held.clear()
    assert len(memory._spare) == 3
    assert memory.empty((64, 64), torch.float32).numel() == 4096  # small ones are torch's own
    assert len(memory._spare) == 3
    memory.release()
    assert not memory._spare


def test_results_in_many_threads_share_nothing() -> None:
    wrong: list[str] = []

    def work(number: int) -> None:
        for turn in range(40):
            value = 1000 * number + turn
            mine = memory.empty((1, 600, 1024), torch.float32).fill_(value)
            other = memory.empty((1, 600, 1024), torch.float32).fill_(-value - 1)
            if not (bool((mine == value).all()) and bool((other == -value - 1).all())):
                wrong.append(f"{number} {turn}")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_an_earlier_result_stays_what_it_is() -> None:
    d, keys = degrade.recipe("cofe-net"), degrade.make_keys(0, 8)
    image, mask = torch.rand(8, 3, 256, 256), torch.ones(8, 1, 256, 256)
    results = [d(image, degrade.rng.keyed.fold_in(keys, n), mask) for n in range(3)]
    copies = [result.clone() for result in results]
    for n in range(3):
        d(image, degrade.rng.keyed.fold_in(keys, n + 10), mask)
    assert all(torch.equal(result, copy) for result, copy in zip(results, copies, strict=True))
