"""SSP-Net's training: its switches, and that unpaired images teach it without losing the nerves."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from degrade.stream import open_source
from enhance.configuration import read_config
from enhance.losses import illumination_uniformity
from enhance.metrics import average_gradient
from enhance.trainers.base import Sources
from enhance.trainers.sspnet import SSPConfig, SSPTrainer
from tests.trainer_runs import TINY, correlation, pairs, phantoms, sources_of, train


def tiny(**changes):
    return SSPTrainer(replace(TINY["sspnet"][1], **changes))


def first_losses(**changes):
    trainer = tiny(**changes)
    return train(trainer, sources_of(trainer), stop=1)[0]


def test_total():
    losses = first_losses(texture_weight=3.0, illumination_weight=2.0)
    parts = losses["adversarial"] + 3 * losses["texture"] + 2 * losses["illumination"]
    assert losses["generator"] == pytest.approx(parts, rel=1e-5)


def test_switches():
    texture = {form: first_losses(texture=form)["texture"] for form in ("structure", "cs", "contrast")}
    assert len(set(texture.values())) == 3
    alone = first_losses(texture_weight=0.0, illumination_weight=0.0)
    assert set(alone) == {"generator", "adversarial", "discriminator"}
    assert alone["generator"] == alone["adversarial"]
    assert "texture" in first_losses(illumination_weight=0.0)
    with pytest.raises(ValueError, match="texture = 'colour'"):
        tiny(texture="colour")


def test_weights_of_the_branches():
    """Of both adversarial losses; nothing is left of a branch that weighs 0."""
    both, first, second = (first_losses(lambda1=a, lambda2=b) for a, b in ((2.0, 3.0), (1.0, 0.0), (0.0, 1.0)))
    assert both["adversarial"] == pytest.approx(2 * first["adversarial"] + 3 * second["adversarial"], rel=1e-5)
    assert both["discriminator"] > 2 * max(first["discriminator"], second["discriminator"])
    assert SSPConfig().lambda1 + SSPConfig().lambda2 == 1


def test_discriminators():
    literal, usual = (tiny(d_layers=layers).networks["judge"] for layers in (1, 3))
    convolutions = [sum(isinstance(part, torch.nn.Conv2d) for part in net.modules()) for net in (literal, usual)]
    assert convolutions == [3, 5]


def test_tanh_starts_with_a_gradient():
    """He's weights before it would not: whatever the first image is, it must not be black and white."""
    with torch.no_grad():
        image = tiny().enhancer(torch.rand(2, 1, 64, 64) * 2 - 1)
    assert image.abs().max() < 0.9


def test_batch_norm_needs_a_batch():
    with pytest.raises(ValueError, match="batch_size = 1 with norm = 'batch'"):
        tiny(norm="batch", batch_size=1)
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in tiny(batch_size=1).networks.modules())


def test_defaults_are_the_papers():
    config = SSPConfig()
    assert (config.batch_size, config.texture_weight, config.illumination_weight) == (4, 5, 1)
    trainer = tiny(steps=5_100)
    trainer.epoch_steps = 85  # of the paper's 340 bad images
    rates = [trainer.rate(n)["generator"] for n in (0, 250, 500, 1_274, 1_275, 2_550)]
    assert rates == pytest.approx([3e-5, 6.5e-5, 1e-4, 1e-4, 5e-5, 2.5e-5])
    assert trainer.rate(700) == {"generator": 1e-4, "discriminator": 1e-4}
    betas = {name: optimizer.param_groups[0]["betas"] for name, optimizer in trainer.optimizers.items()}
    assert betas == {"generator": (0.5, 0.9), "discriminator": (0.9, 0.999)}


def test_halving_counts_epochs_and_waits_for_the_warm_up():
    trainer = tiny(warm_up=2, halve_epochs=1.5)
    trainer.stream(sources_of(trainer))
    assert trainer.epoch_steps == 4
    assert [trainer.rate(n)["generator"] for n in (5, 6)] == pytest.approx([1e-4, 5e-5])
    early = tiny(warm_up=20, halve_epochs=1.0)
    with pytest.raises(ValueError, match=r"halve_epochs = 1: 4 steps of 4 an epoch, fewer than warm_up = 20"):
        early.stream(sources_of(early))
    with pytest.raises(ValueError, match=r"halve_every = 300: it counted steps; .* halve_epochs, which counts epochs"):
        read_config(SSPConfig, {"halve_every": 300})


@pytest.mark.slow
def test_learns():
    """Nerves come out better in hazy, uneven, blurred images, and are never turned into their negative."""
    worse = {  # than the recipe, whose blur is nothing at 64 pixels
        "gain_low": (0.2, 0.5),
        "haze": (0.2, 0.4),
        "blur_sigma": (0.4 / 64, 0.8 / 64),
        "eta": (4.0, 8.0),
        "sigma": (0.5, 1.0),
    }
    config = SSPConfig(
        steps=400,
        size=None,
        crop=None,
        lr=8e-4,
        lr_start=8e-4,
        warm_up=0,
        halve_epochs=25.0,
        width=8,
        depths=(1, 1, 1, 1),
        decoder=(32, 32, 32, 32, 32),
        d_width=16,
    )
    trainer = SSPTrainer(config)
    low = open_source(pairs("cornea", "cornea", 48, 100, **worse)[1])
    train(trainer, Sources(phantoms("cornea", 48), low))
    clean, degraded, *_ = pairs("cornea", "cornea", 16, 1000, **worse)
    with torch.no_grad():
        enhanced = trainer.enhancer.enhance(degraded)
    before, after = (correlation(image, clean) for image in (degraded, enhanced))
    gradients = [average_gradient(image).mean() for image in (degraded, enhanced)]
    uneven = [illumination_uniformity(image) for image in (degraded, enhanced)]
    print(f"correlation {before.mean():.3f} to {after.mean():.3f}, least {after.min():.3f}", end="; ")
    print("AvG {:.2f} to {:.2f}; illumination {:.4f} to {:.4f}".format(*gradients, *uneven))
    assert after.mean() >= before.mean() + 0.1
    assert after.min() > 0
    assert gradients[1] > gradients[0]
    assert uneven[1] < uneven[0]
