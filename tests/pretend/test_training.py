"""Networks, losses, metrics and training steps on a device: nothing is mixed, and a step waits for nothing."""

from __future__ import annotations

import pytest
import torch

from enhance.metrics import psnr, ssim
from enhance.trainers import Sources
from enhance.trainers.xbdcnn import XBDCNNConfig, XBDCNNTrainer
from tests.network_samples import NAMES, disc, images, tiny
from tests.pretend.memory import NAME
from tests.pretend.watch import watched
from tests.trainer_runs import TINY, Plain, batches, phantoms, sources_of

TRAINERS = {
    **TINY,
    "xbdcnn": (XBDCNNTrainer, XBDCNNConfig(steps=4, batch_size=2, width=8, level_width=8, crop=32)),
}
STEPS = 3
COPIES = {"xbdcnn": 1}
"""Copies of a step to the device: kornia's SSIM makes its window in each call."""


@pytest.mark.parametrize("name", NAMES)
def test_networks_enhance(name: str) -> None:
    net, image, mask = tiny(name).to(NAME), images(), disc(2, 64, 64)
    expected = tiny(name).enhance(image, mask)
    net.enhance(image.to(NAME), mask.to(NAME))
    with watched() as watch:
        made = net.enhance(image.to(NAME), mask.to(NAME))
    assert not watch.waits
    assert torch.allclose(made.cpu(), expected, atol=1e-4)


def test_metrics() -> None:
    image, reference, mask = images(), images(seed=1), disc(2, 64, 64)
    for metric in (psnr, ssim):
        expected = metric(image, reference, mask)
        metric(image.to(NAME), reference.to(NAME), mask.to(NAME))
        with watched() as watch:
            made = metric(image.to(NAME), reference.to(NAME), mask.to(NAME))
        assert torch.allclose(made.cpu(), expected, atol=1e-4), metric
        assert not watch.waits, (metric, watch.waits)


@pytest.mark.parametrize("name", TRAINERS)
def test_steps_wait_for_nothing(name: str) -> None:
    kind, config = TRAINERS[name]
    trainer = kind(config)
    trainer.networks.to(NAME)
    sources = Sources(phantoms("chest", 4)) if name == "xbdcnn" else sources_of(trainer, 4)
    stream = trainer.stream(sources)
    update = Plain(trainer)
    for number, batch in zip(range(STEPS), batches(stream), strict=False):
        batch = batch.to(NAME)
        with watched() as watch:
            losses = trainer.step(batch, number, update)
        assert all(torch.isfinite(loss.cpu()) for loss in losses.values())
    assert not watch.waits, watch.waits
    assert len(watch.copies) == COPIES.get(name, 0), watch.copies
