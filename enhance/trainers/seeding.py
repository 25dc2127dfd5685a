"""Weights from a seed, which leave torch's global generators as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Within it torch's CPU generator starts from `seed`; afterwards it is where it was before.

    Networks draw their first weights from it. Generators of other devices are not touched: networks are made on the
    CPU and moved, so that a seed means the same weights everywhere.

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
