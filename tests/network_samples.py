"""The five networks small enough for a test, and images for them."""

from __future__ import annotations

import torch

import enhance

TINY = {
    "pcenet": {"width": 4},
    "zhao": {"width": 4, "blocks": 2},
    "magenet": {"width": 8, "step": 4, "stage2_step": 4, "num_cab": 1, "rsp_width": 4},
    "xbdcnn": {"width": 8, "level_width": 8},
    "sspnet": {"width": 4, "depths": (1, 1, 1, 1), "decoder": (16, 16, 8, 8, 8)},
}
NAMES = list(TINY)


def tiny(name, channels=3, **options):
    torch.manual_seed(0)
    return enhance.network(name, channels=channels, **(TINY[name] | options)).eval()


def images(batch=2, channels=3, height=64, width=64, seed=0):
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(seed))


def disc(batch, height, width):
    """A field of view: a disc of radius 0.45."""
    y, x = torch.linspace(-0.5, 0.5, height)[:, None], torch.linspace(-0.5, 0.5, width)
    return ((x**2 + y**2) < 0.2025).float().expand(batch, 1, height, width).clone()


def signed(*shape):
    """Images in [-1, 1]."""
    return images(*shape) * 2 - 1


def shapes_of(net, *inputs):
    """What the network gives, and the shape, without the batch, of what every named part of it gives."""
    shapes = {}

    def note(name):
        def hook(module, given, result):
            if isinstance(result, torch.Tensor):
                shapes[name] = tuple(result.shape[1:])

        return hook

    for name, module in net.named_modules():
        module.register_forward_hook(note(name))
    return net(*inputs), shapes
