"""Seed the initialization of weights without changing torch's global generators."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Context in which torch's CPU generator starts from `seed`; its state before is restored at the end.

    Networks initialize their weights from it. Generators of other devices are not changed: networks are made on the CPU
    and moved, so that a seed gives the same weights on every device.

    >>> with seeded(1):
    ...     a = torch.rand(2)
    >>> with seeded(1):
    ...     b = torch.rand(2)
    >>> torch.equal(a, b)
    True
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
