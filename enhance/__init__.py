"""Enhancement networks and their trainers: batches of pairs in, enhanced images out.

import enhance

net = enhance.network("pcenet")
enhanced = net.enhance(images, masks)
"""

from enhance.networks import NETWORKS, network

__all__ = ["NETWORKS", "network"]
