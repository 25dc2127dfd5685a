"""Every network can learn: it overfits one batch, of real images and of phantoms, in seconds."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import degrade
import enhance
from degrade.images import image_io

SMALL = {
    "pcenet": {"width": 16},
    "zhao": {"width": 12, "blocks": 2},
    "magenet": {"width": 12, "step": 4, "stage2_step": 4, "num_cab": 1, "rsp_width": 4},
    "xbdcnn": {"width": 16, "level_width": 8},
    "sspnet": {"width": 8, "depths": (1, 1, 1, 1), "decoder": (32, 32, 24, 16, 16), "norm": "instance"},
}
TASKS = {  # what is degraded, and how
    "pcenet": ("fundus/good", "fundus", "pce-net", {"type": "111"}),
    "zhao": ("fundus/good", "fundus", "cataract", {}),
    "magenet": ("fundus/good", "fundus", "cofe-net", {"type": "111"}),
    "xbdcnn": ("xray", "chest", "x-bdcnn", {}),
    "sspnet": ("cornea/high", "cornea", "cornea", {}),
}
SIDE, STEPS = 64, 400
each = pytest.mark.parametrize("name", list(SMALL))


@pytest.fixture(autouse=True)
def _no_denormals():
    """Maps that die leave numbers so small that a CPU takes many times as long with them."""
    torch.set_flush_denormal(True)
    yield
    torch.set_flush_denormal(False)


def loss_of(name, result, clean):
    """The supervised part of each network's loss, in its own range."""
    if name == "magenet":
        return sum(((stage - clean) ** 2 + 1e-6).sqrt().mean() for stage in result.stages)
    if name == "xbdcnn":
        return F.mse_loss(result.image, clean)
    return F.l1_loss(result if isinstance(result, Tensor) else result.image, clean)


def overfit(name, clean):
    """Trains until the loss is a tenth of what it was, and the image nearer to the clean one by 30 %."""
    _, _, recipe, settings = TASKS[name]
    degraded = degrade.recipe(recipe, **settings)(clean, degrade.make_keys(0, len(clean)))
    torch.manual_seed(0)
    net = enhance.network(name, channels=clean.shape[1], **SMALL[name]).train()
    low, high = net.value_range
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    history, error = [], 1.0
    before = F.l1_loss(degraded, clean).item()
    for _ in range(STEPS):
        result = net(degraded * (high - low) + low)
        loss = loss_of(name, result, clean * (high - low) + low)
        history.append(loss.item())
        image = result if isinstance(result, Tensor) else result.image
        error = F.l1_loss(image.detach(), clean * (high - low) + low).item() / (high - low)
        if history[-1] <= 0.1 * history[0] and error <= 0.7 * before:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert history[-1] <= 0.1 * history[0], f"from {history[0]:.4f} to {history[-1]:.4f} in {len(history)} steps"
    assert error <= 0.7 * before, f"{error:.4f} from clean, where the degraded images are {before:.4f}"


@pytest.mark.slow
@each
def test_real_images(name, data):
    files = sorted(file for file in (data / TASKS[name][0]).iterdir() if file.suffix.lower() in image_io.IMAGE_SUFFIXES)
    channels = enhance.NETWORKS[name].image_channels
    overfit(name, torch.cat([middle(image_io.to_float(image_io.read(file)), channels) for file in files[:2]]))


@pytest.mark.slow
@each
def test_phantoms(name):
    generate = getattr(degrade.phantom, TASKS[name][1])
    overfit(name, generate(degrade.make_keys(0, 2), SIDE)[0])


def middle(image, channels):
    """The middle square of an image (C, H, W), at the side of the tests."""
    image = image[:channels] if image.shape[0] >= channels else image.expand(channels, -1, -1)
    side = min(image.shape[-2:])
    top, left = ((length - side) // 2 for length in image.shape[-2:])
    square = image[None, :, top : top + side, left : left + side]
    return F.interpolate(square, size=(SIDE, SIDE), mode="area").clamp(0, 1)
