"""Zhao et al.'s training: its switches, its pools, and that it clears cataract from unpaired images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from degrade.stream import open_source
from enhance.metrics import psnr
from enhance.trainers.base import Sources
from enhance.trainers.zhao import ZhaoConfig, ZhaoTrainer
from tests.trainer_runs import TINY, mean, pairs, phantoms, sources_of, train


def tiny(**changes):
    return ZhaoTrainer(replace(TINY["zhao"][1], **changes))


def first_losses(**changes):
    trainer = tiny(**changes)
    return train(trainer, sources_of(trainer), stop=1)[0]


@pytest.mark.parametrize("cycle", ["feature", "feature-sum", "image"])
def test_total(cycle):
    losses = first_losses(cycle=cycle, cycle_weight=3.0, identity_weight=2.0)
    parts = losses["adversarial"] + 3 * losses["cycle"] + 2 * losses["identity"]
    assert losses["generator"] == pytest.approx(parts, rel=1e-5)


def test_cycles_differ():
    losses = {cycle: first_losses(cycle=cycle) for cycle in ("feature", "feature-sum", "image", "none")}
    assert losses["feature-sum"]["cycle"] == pytest.approx(5 * losses["feature"]["cycle"], rel=1e-5)
    assert losses["image"]["cycle"] != losses["feature"]["cycle"]
    assert "cycle" not in losses["none"]
    assert "cycle" not in first_losses(cycle_weight=0.0)
    assert "identity" not in first_losses(identity_weight=0.0)
    with pytest.raises(ValueError, match="cycle = 'pixel'"):
        tiny(cycle="pixel")


def test_pools_fill_and_matter():
    trainer, without = tiny(), tiny(pool=0)
    history = [train(one, sources_of(one)) for one in (trainer, without)]
    assert [len(trainer.state()[name]["images"]) for name in ("sharp", "blurry")] == [3, 3]
    assert not any("images" in state for state in without.state().values())
    assert history[0][0] == history[1][0]  # what comes in goes out until the pool is full
    assert history[0] != history[1]


def test_one_image_is_enough():
    """Instance norm: a batch of one trains as any other, and evaluation does what training does."""
    trainer = tiny(batch_size=1)
    assert all(
        torch.isfinite(torch.tensor(list(losses.values()))).all() for losses in train(trainer, sources_of(trainer))
    )
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(trainer.enhancer.train().enhance(image), trainer.enhancer.eval().enhance(image))


def test_defaults():
    config = ZhaoConfig()
    assert (config.batch_size, config.cycle_weight, config.identity_weight, config.pool) == (1, 10, 10, 50)
    rates = [tiny(steps=200).rate(n) for n in (0, 100, 150)]
    assert [rate["generator"] for rate in rates] == pytest.approx([2e-4, 2e-4, 1e-4])
    assert all(rate["generator"] == rate["discriminator"] for rate in rates)


@pytest.mark.slow
def test_learns():
    """From hazy and clear images of different eyes; measured on pairs of others."""
    config = ZhaoConfig(steps=180, batch_size=2, size=None, crop=None, lr=5e-4, width=12, blocks=2, d_width=12)
    trainer = ZhaoTrainer(config)
    low = open_source(pairs("fundus", "cataract", 48, 100)[1])
    history = train(trainer, Sources(phantoms("fundus", 48), low))
    clean, degraded, mask, _ = pairs("fundus", "cataract", 16, 1000)
    with torch.no_grad():
        enhanced = trainer.enhancer.enhance(degraded, mask)
    before, after = (float(psnr(image, clean, mask).mean()) for image in (degraded, enhanced))
    identities = [mean(history, "identity", which) for which in (slice(0, 1), slice(-20, None))]
    judges = mean(history, "discriminator", slice(-20, None))
    print(f"PSNR {before:.2f} to {after:.2f}; identity {identities[0]:.3f} to {identities[1]:.3f}; D {judges:.3f}")
    assert after >= before + 2
    assert identities[1] <= 0.3 * identities[0]
    assert 0.1 < judges < 0.9
