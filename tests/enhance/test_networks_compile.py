"""Every network compiles into one graph, forwards and backwards, and exports with any number of images."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from tests.network_samples import NAMES, disc, images, tiny

CASES = [*((name, {}) for name in NAMES), ("magenet", {"rsp": "agnet-guided", "checkpointing": True})]
each = pytest.mark.parametrize(("name", "options"), CASES, ids=[*NAMES, "magenet-guided"])


@pytest.fixture(autouse=True)
def _fresh():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def loss(result):
    tensors = [t for t in torch.utils._pytree.tree_leaves(result) if isinstance(t, torch.Tensor)]
    return sum((t * t).mean() for t in tensors)


@each
@pytest.mark.slow
def test_training_compiles(name, options):
    """In float64: in float32 guided filters divide by variances so small that two orders of additions differ."""
    image, gradients = images(2, 3, 64, 64).double() * 2 - 1, []
    for backend in (None, "aot_eager"):
        net = tiny(name, **options).double().train()
        forward = net if backend is None else torch.compile(net, fullgraph=True, backend=backend)
        loss(forward(image)).backward()
        gradients.append([p.grad for p in net.parameters()])
    for plain, compiled in zip(*gradients, strict=True):
        torch.testing.assert_close(compiled, plain, atol=1e-9, rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pcenet", "xbdcnn"])
def test_enhancing_compiles_to_code(name):
    net, image, mask = tiny(name), images(1, 3, 61, 97), disc(1, 61, 97)
    with torch.no_grad():
        compiled = torch.compile(net.enhance, fullgraph=True)(image, mask)
        torch.testing.assert_close(compiled, net.enhance(image, mask), atol=1e-4, rtol=0)


class Enhancer(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, image, mask):
        return self.net.enhance(image, mask)


@pytest.mark.slow
@each
def test_enhancing_exports_with_any_number_of_images(name, options):
    net = tiny(name, **options).double()
    batch = {0: torch.export.Dim("batch", min=1)}
    example = images(2, 3, 61, 97).double(), disc(2, 61, 97).double()
    exported = torch.export.export(Enhancer(net), example, dynamic_shapes=(batch, batch), strict=False)
    file = io.BytesIO()
    torch.export.save(exported, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    with torch.no_grad():
        for count in (1, 3):
            image, mask = images(count, 3, 61, 97, seed=count).double(), disc(count, 61, 97).double()
            torch.testing.assert_close(loaded(image, mask), net.enhance(image, mask), atol=1e-9, rtol=0)
