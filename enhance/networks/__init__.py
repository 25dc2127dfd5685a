"""The five published enhancement networks, by name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from degrade.settings import closest
from enhance.networks.base import EnhancementNetwork
from enhance.networks.magenet import MAGENet
from enhance.networks.pcenet import PCENet
from enhance.networks.sspnet import PatchDiscriminator, SSPGenerator
from enhance.networks.xbdcnn import XBDCNN
from enhance.networks.zhao import ZhaoDiscriminator, ZhaoGenerator

__all__ = ["NETWORKS", "EnhancementNetwork", "PatchDiscriminator", "ZhaoDiscriminator", "network"]

NETWORKS: Mapping[str, type[EnhancementNetwork]] = {
    kind.name: kind for kind in (PCENet, ZhaoGenerator, MAGENet, XBDCNN, SSPGenerator)
}


def network(name: str, **options: Any) -> EnhancementNetwork:
    """A new network with random weights, from torch's global generator.

    Args:
        name: pcenet, zhao, magenet, xbdcnn or sspnet; of the GANs, the generator that enhances.
        options: widths, depths and switches: the arguments of the network's class.

    Raises:
        ValueError: an unknown name or option, or a value that is not allowed.

    >>> import torch
    >>> net = network("xbdcnn", width=8, level_width=8)
    >>> net.enhance(torch.rand(2, 1, 61, 97)).shape
    torch.Size([2, 1, 61, 97])
    """
    if name not in NETWORKS:
        raise ValueError(f"unknown network {name!r}{closest(name, NETWORKS)}")
    kind = NETWORKS[name]
    known = [option for option in inspect.signature(kind.__init__).parameters if option != "self"]
    for option in options:
        if option not in known:
            raise ValueError(f"unknown option {option!r} of {name}{closest(option, known)}")
    return kind(**options)
