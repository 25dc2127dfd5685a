"""Exponential moving average (EMA) of a network's weights: mean teachers, and the average that a run keeps."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


def update_average(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the weights of `average` towards those of `network`: average = decay * average + (1 - decay) * network.

    Buffers, such as running means of batch norm, are copied.

    Args:
        average: a copy of `network`; changed in place.
        network: of the same architecture.
        decay: in [0, 1]; 0 copies. It may be another one in each step.

    >>> average, network = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> _ = nn.init.zeros_(average.weight), nn.init.ones_(network.weight)
    >>> update_average(average, network, 0.75)
    >>> average.weight.item()
    0.25
    """
    # Not torch's AveragedModel around this function: it takes one decay for good, where both uses here begin with a
    # smaller one; it counts steps in a buffer that checkpoints written so far do not have; and it copies that buffer to
    # the weights' device in each step, for which the host waits until a GPU has done all the work before.
    ours, theirs = list(average.parameters()), list(network.parameters())
    get_ema_multi_avg_fn(decay)(ours, theirs, 0)  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for kept, buffer in zip(average.buffers(), network.buffers(), strict=True):
            kept.copy_(buffer)
