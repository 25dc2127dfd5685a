"""PCE-Net's training: its switches, and that it learns what the paper's parts are for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from enhance.metrics import psnr
from enhance.trainers.base import Sources
from enhance.trainers.pcenet import PCEConfig, PCETrainer
from tests.trainer_runs import TINY, mean, pairs, phantoms, sources_of, train


def tiny(**changes):
    return PCETrainer(replace(TINY["pcenet"][1], **changes))


def first_batch(trainer):
    return next(iter(trainer.stream(sources_of(trainer))))


def test_sequences():
    """K copies of each image, or as many images with one copy each."""
    assert first_batch(tiny()).degraded.shape == (2, 2, 3, 64, 64)
    assert first_batch(tiny(seq=False)).degraded.shape == (4, 3, 64, 64)


def test_without_sequences_there_is_no_constraint():
    trainer = tiny(seq=False)
    losses = train(trainer, sources_of(trainer), stop=1)[0]
    assert losses["constraint"] == pytest.approx(0, abs=1e-5)
    assert losses["total"] == pytest.approx(losses["l1"], abs=1e-5)


def test_weight_of_the_constraint():
    for weight in (0.0, 0.1, 0.5):
        trainer = tiny(lambda_c=weight)
        losses = train(trainer, sources_of(trainer), stop=1)[0]
        assert losses["constraint"] > 0.01
        assert losses["total"] == pytest.approx(losses["l1"] + weight * losses["constraint"], rel=1e-5)


def test_lpf_reaches_the_network():
    assert tiny().enhancer.lpf
    assert not tiny(lpf=False).enhancer.lpf


def test_outside_the_field_of_view_nothing_counts():
    trainer = tiny()
    batch = first_batch(trainer)
    outside = batch.clean + (1 - batch.mask) * 0.5
    losses = []
    for clean in (batch.clean, outside):
        fresh = tiny()
        losses.append(fresh.step(replace(batch, clean=clean), 0, lambda name, loss: None)["l1"])
    assert torch.equal(*losses)
    assert 0 < batch.mask.mean() < 1


def test_defaults_are_the_papers():
    config = PCEConfig()
    assert (config.batch_size * config.views, config.lr, config.lambda_c, config.crop) == (16, 1e-3, 0.1, 256)
    rates = [tiny(steps=200).rate(n)["network"] for n in (0, 150, 175, 199)]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-4, 2e-5])


@pytest.mark.slow
def test_learns():
    """Images are enhanced, and the constraint makes the encoder see the same in all copies."""
    recipe = 'recipe = "pce-net"\ntype = "111"'
    clean, degraded, mask, _ = pairs("fundus", recipe, 24, 1000)
    gains, constraints = [], []
    for weight in (0.1, 0.0):
        config = PCEConfig(steps=150, batch_size=2, size=None, crop=None, recipe=recipe, width=16, lambda_c=weight)
        trainer = PCETrainer(config)
        history = train(trainer, Sources(phantoms("fundus", 48)))
        with torch.no_grad():
            enhanced = trainer.enhancer.enhance(degraded, mask)
        gains.append(float((psnr(enhanced, clean, mask) - psnr(degraded, clean, mask)).mean()))
        constraints.append(mean(history, "constraint", slice(-20, None)))
    print("gains {:.2f}, {:.2f} dB; constraint {:.4f}, {:.4f}".format(*gains, *constraints))
    assert min(gains) >= 4
    assert constraints[0] <= 0.5 * constraints[1]
