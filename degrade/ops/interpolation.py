"""Cubic interpolation between the nodes of a coarse grid, as weights: for fields that are smooth at its scale."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


@functools.cache
def weights_between(step: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """(step, 6): pixel i is made of the nodes i // step to i // step + 5, the first two of which lie before the frame.

    The four-point scheme of Dubuc (1986), repeated: cubic between the nodes, exact at them, smooth.

    >>> weights_between(2)
    tensor([[ 0.0000,  0.0000,  1.0000,  0.0000,  0.0000,  0.0000],
            [ 0.0000, -0.0625,  0.5625,  0.5625, -0.0625,  0.0000]])
    """
    nodes = torch.eye(6, dtype=dtype)  # six nodes, each once 1
    for _ in range(step.bit_length() - 1):
        nodes = _doubled(nodes)
    return nodes[2 : 2 + step].contiguous()


def _doubled(nodes: Tensor) -> Tensor:
    """Twice the resolution along the first axis: of nodes -2 ... n + 1 the nodes -2 ... 2 (n - 1) + 2 of the finer."""
    count = len(nodes)
    fine = nodes.new_empty(2 * count - 5, *nodes.shape[1:])
    fine[::2] = nodes[1 : count - 1]
    fine[1::2] = (nodes[1 : count - 2] + nodes[2 : count - 1]) * (9 / 16)
    fine[1::2] -= (nodes[: count - 3] + nodes[3:]) / 16
    return fine
