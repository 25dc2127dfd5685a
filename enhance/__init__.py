"""Enhancement networks and their trainers: batches of pairs in, enhanced images out.

import enhance

net = enhance.network("pcenet")
enhanced = net.enhance(images, masks)
"""

from enhance.networks import NETWORKS, EnhancementNetwork, network

__all__ = ["NETWORKS", "network", "pretrained"]


def pretrained(name: str) -> EnhancementNetwork:
    """A trained network that comes with the package, in `eval` mode on the CPU; docs/pretrained.md is its model card.

    Args:
        name: pcenet-small, for fundus photographs with bad light, spots and blur, as squares of about 256 pixels;
            xbdcnn-small, for Poisson-Gaussian noise in radiographs of any size.

    Raises:
        ValueError: there is none of that name; those that there are are listed.

    >>> import torch
    >>> pretrained("xbdcnn-small").enhance(torch.rand(1, 1, 61, 97)).shape
    torch.Size([1, 1, 61, 97])
    """
    from enhance.checkpoints import load_enhancer
    from enhance.shipped import PREFIX

    return load_enhancer(f"{PREFIX}{name}")
