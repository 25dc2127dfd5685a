"""Parameters, input and cost of each network: the table of `enhance networks`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from enhance.networks import NETWORKS, network


@dataclass(frozen=True)
class Facts:
    """Facts about a network with default options: its input, and the cost of one image of the training size."""

    name: str
    paper: str
    parameters: int
    gflop: float
    size: int
    value_range: tuple[float, float]
    channels: int


def facts(name: str) -> Facts:
    """Count on the device "meta", without memory for the weights.

    >>> facts("xbdcnn").parameters
    4363171
    """
    with torch.device("meta"):
        net = network(name)
    kind = NETWORKS[name]
    cost = gflop(net, kind.image_channels, kind.training_size)
    parameters = count_parameters(net)
    return Facts(name, kind.paper, parameters, cost, kind.training_size, kind.value_range, kind.image_channels)


def count_parameters(module: nn.Module) -> int:
    """Number of trained parameters.

    >>> count_parameters(nn.Linear(3, 2))
    8
    """
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def gflop(module: nn.Module, channels: int, size: int) -> float:
    """10^9 operations of `forward` on one square image, two per multiplication and addition in convolutions.

    >>> round(gflop(nn.Conv2d(1, 10, 3, padding=1), 1, 1000), 2)
    0.18
    """
    image = torch.zeros(1, channels, size, size, device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module.to("meta")(image)
    return float(counter.get_total_flops() / 1e9)
