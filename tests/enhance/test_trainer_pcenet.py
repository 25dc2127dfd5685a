"""PCE-Net's training: its switches, and that it learns what the paper's parts are for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from enhance.metrics import psnr
from enhance.networks.pcenet import PCENet
from enhance.trainers.base import Sources
from enhance.trainers.pcenet import PCEConfig, PCETrainer
from enhance.trainers.windows import cut_windows
from tests.trainer_runs import TINY, mean, pairs, phantoms, sources_of, train


def tiny(**changes):
    return PCETrainer(replace(TINY["pcenet"][1], **changes))


def first_batch(trainer):
    return next(iter(trainer.stream(sources_of(trainer))))


def test_sequences():
    """K copies of each image, or as many images with one copy each."""
    assert first_batch(tiny()).degraded.shape == (2, 2, 3, 64, 64)
    assert first_batch(tiny(seq=False)).degraded.shape == (4, 3, 64, 64)


def batches_of(trainer, epoch=0):
    stream = trainer.stream(sources_of(trainer))
    stream.set_epoch(epoch)
    return {id_: image for batch in stream for id_, image in zip(batch.ids, batch.degraded, strict=True)}


def test_without_sequences_an_image_has_one_copy_for_the_whole_run():
    """Frozen: to the bit the same in every epoch, and what its own key gives for the whole frame."""
    trainer = tiny(seq=False, lpf=False)
    first, later = batches_of(trainer, 0), batches_of(trainer, 5)
    shared = first.keys() & later.keys()
    assert shared
    assert all(torch.equal(first[id_], later[id_]) for id_ in shared)
    anew = tiny(seq=False, frozen=False)
    first, later = batches_of(anew, 0), batches_of(anew, 5)
    assert not any(torch.equal(first[id_], later[id_]) for id_ in first.keys() & later.keys())


def test_windows_are_cut_out_of_frozen_copies():
    trainer = tiny(seq=False, size=(64, 80), crop=48)
    batch = first_batch(trainer)
    assert batch.degraded.shape == (4, 3, 80, 80)
    cut = [cut_windows(batch, (64, 80), 48, number) for number in (0, 0, 1)]
    assert cut[0].degraded.shape == (4, 3, 48, 48)
    assert torch.equal(cut[0].degraded, cut[1].degraded)
    assert not torch.equal(cut[0].degraded, cut[2].degraded)
    assert set(cut[0].mask.unique().tolist()) <= {0.0, 1.0}
    same = replace(batch, degraded=batch.clean[:, None].repeat(1, 2, 1, 1, 1))  # with views too
    for number in range(4):  # one geometry for image and views
        found = cut_windows(same, (64, 80), 48, number)
        assert torch.equal(found.degraded[:, 1], found.clean)
    assert train(trainer, sources_of(trainer), stop=1)[0]["l1"] > 0
    with pytest.raises(ValueError, match="crop = 96: a frame has 80 x 80 pixels"):
        cut_windows(batch, None, 96, 0)


def test_without_lpf_it_is_a_plain_u_net():
    plain, several = tiny(lpf=False).enhancer, tiny(lpf=False, multi_input=True).enhancer
    assert len(plain.entries) == 1
    assert len(several.entries) == 4
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    assert [f.shape for f in plain(image).features] == [f.shape for f in several(image).features]
    assert tiny(gain=1.0, clamp=False, smooth_up=False).enhancer.gain == 1
    with pytest.raises(ValueError, match="one_input = True: allowed with lpf = False alone"):
        PCENet(width=4, one_input=True)


def test_without_sequences_there_there_is_no_constraint():
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
        config = PCEConfig(steps=60, batch_size=2, size=None, crop=None, recipe=recipe, width=12, lambda_c=weight)
        trainer = PCETrainer(config)
        history = train(trainer, Sources(phantoms("fundus", 48)))
        with torch.no_grad():
            enhanced = trainer.enhancer.enhance(degraded, mask)
        gains.append(float((psnr(enhanced, clean, mask) - psnr(degraded, clean, mask)).mean()))
        constraints.append(mean(history, "constraint", slice(-20, None)))
    print("gains {:.2f}, {:.2f} dB; constraint {:.4f}, {:.4f}".format(*gains, *constraints))
    assert min(gains) >= 4
    assert constraints[0] <= 0.5 * constraints[1]
