"""MAGE-Net's training: its switches, its mean teacher, and that stages, segmentation and teacher learn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from degrade.stream import MixedBatch, open_source
from enhance.metrics import auc, psnr
from enhance.trainers.base import Sources
from enhance.trainers.magenet import MAGEConfig, MAGETrainer
from tests.trainer_runs import TINY, mean, pairs, phantoms, sources_of, train


def tiny(**changes):
    return MAGETrainer(replace(TINY["magenet"][1], **{"rsp_share": 0.0} | changes))


def losses_of(stop=1, **changes):
    trainer = tiny(**changes)
    return train(trainer, mixed(trainer), stop=stop)


def mixed(trainer):
    """With real images if it has a teacher."""
    sources = sources_of(trainer)
    return sources if trainer.config.teacher else Sources(sources.high)


def test_total():
    losses = losses_of(segmentation_weight=0.25, consistency_weight=3.0, ramp=0.0)[0]
    assert losses["supervised"] == pytest.approx(
        losses["stage1"] + losses["stage2"] + 0.25 * losses["segmentation"], rel=1e-5
    )
    assert losses["total"] == pytest.approx(losses["supervised"] + 3 * losses["consistency"], rel=1e-5)


def test_switches():
    assert "stage2" not in losses_of(stage2=False)[0]
    assert "segmentation" not in losses_of(rsp="none")[0]
    assert losses_of(edge_weight=0.0)[0]["stage1"] < losses_of(edge_weight=0.05)[0]["stage1"]
    assert "consistency" not in losses_of(teacher=False)[0]
    assert any("attention" in name for name, _ in tiny().enhancer.named_parameters())
    assert not any("attention" in name for name, _ in tiny(cab=False).enhancer.named_parameters())
    with pytest.raises(ValueError, match="rsp = 'unet'"):
        tiny(rsp="unet")


def test_maps():
    """Vessels are needed for the segmentation alone."""
    assert tiny().maps == ("vessels",)
    assert tiny(rsp="none").maps == ()


def test_ramp():
    history = losses_of(stop=5, ramp=0.5)
    weights = [(losses["total"] - losses["supervised"]) / losses["consistency"] for losses in history[1:]]
    assert weights == pytest.approx([0.1084, 0.5738, 1, 1], rel=1e-2)


def test_structure_is_trained_first():
    trainer = tiny(rsp_share=0.5)
    rsp, rest = [], []

    def note(number):
        for name, weight in trainer.networks["student"].named_parameters():
            (rsp if name.startswith("rsp.") else rest).append(weight.sum().item())

    history = train(trainer, mixed(trainer), after=note)
    assert ["supervised" in losses for losses in history] == [False] * 3 + [True] * 3
    per_step = len(rest) // 6
    assert rest[:per_step] == rest[2 * per_step : 3 * per_step]
    assert rest[:per_step] != rest[3 * per_step : 4 * per_step]
    assert rsp[: len(rsp) // 6] != rsp[len(rsp) // 6 : len(rsp) // 3]


class TestTeacher:
    def test_is_saved_and_enhances(self):
        trainer = tiny()
        assert set(trainer.networks) == {"student", "teacher"}
        assert trainer.enhancer is trainer.networks["teacher"]
        alone = tiny(teacher=False)
        assert set(alone.networks) == {"student"}
        assert alone.enhancer is alone.networks["student"]

    def test_no_gradients(self):
        trainer = tiny()
        train(trainer, mixed(trainer))
        teacher = trainer.networks["teacher"]
        assert all(weight.grad is None and not weight.requires_grad for weight in teacher.parameters())
        updated = {id(weight) for weight in trainer.parameters("network")}
        assert not updated & {id(weight) for weight in teacher.parameters()}

    def test_average(self):
        """The plain mean of the student's weights at first, the moving average from step 1/(1 - ema) on."""
        trainer = tiny(ema=0.6)
        weight = next(trainer.networks["student"].parameters())
        seen = []
        train(trainer, mixed(trainer), stop=4, after=lambda number: seen.append(weight.detach().clone()))
        expected = seen[0]
        for number, new in enumerate(seen):
            decay = min(1 - 1 / (number + 1), 0.6)
            expected = decay * expected + (1 - decay) * new
        assert torch.allclose(next(trainer.networks["teacher"].parameters()), expected, atol=1e-6)
        assert not torch.equal(expected, seen[-1])

    def test_noise_follows_from_the_keys(self):
        trainer = tiny(noise=0.2)
        batch = next(iter(trainer.stream(mixed(trainer))))
        assert isinstance(batch, MixedBatch)
        with torch.no_grad():
            first, again = (trainer._consistency(batch.unlabelled) for _ in range(2))
            quiet = tiny(noise=0.0)._consistency(batch.unlabelled)
        assert first == again
        assert first > 0
        assert quiet == 0  # the teacher starts as the student

    def test_real_images_are_of_no_use_without(self):
        trainer = tiny(teacher=False)
        with pytest.raises(ValueError, match="teacher = False"):
            trainer.stream(sources_of(trainer))

    def test_without_real_images(self):
        """The average is kept all the same; there is nothing to agree on."""
        trainer = tiny()
        losses = train(trainer, Sources(sources_of(trainer).high), stop=2)
        assert "consistency" not in losses[0]
        assert not torch.equal(*(next(net.parameters()) for net in trainer.networks.values()))


def small(**changes):
    return MAGETrainer(
        MAGEConfig(
            **{
                "batch_size": 4,
                "unlabelled_size": 2,
                "size": None,
                "crop": None,
                "lr": 2e-3,
                "lr_least": 1e-5,
                "width": 12,
                "level_step": 4,
                "stage2_step": 4,
                "num_cab": 1,
                "rsp_width": 8,
                "ema": 0.98,
            }
            | changes
        )
    )


def held_out(trainer):
    return pairs("fundus", trainer.config.recipe, 24, 1000)


@pytest.mark.slow
def test_learns():
    """Both stages and the structures learn; the teacher is no worse than the student, and they come to agree."""
    trainer = small(steps=180, ema=0.96, ramp=0.05)
    low = open_source(pairs("fundus", trainer.config.recipe, 24, 100)[1])
    history = train(trainer, Sources(phantoms("fundus", 48), low))
    clean, degraded, mask, vessels = held_out(trainer)
    with torch.no_grad():
        output = trainer.networks["student"](degraded)
        first, second = (psnr(stage.clamp(0, 1), clean, mask).mean() for stage in output.stages)
        student, teacher = (
            psnr(trainer.networks[name].enhance(degraded, mask), clean, mask).mean() for name in ("student", "teacher")
        )
    before = psnr(degraded, clean, mask).mean()
    probability = torch.stack([scale.softmax(1)[:, 1:] for scale in output.segmentation]).mean(0)
    area = auc(probability, vessels, mask).mean()
    ramped = 18 + 8  # structure first, then the ramp
    apart = [mean(history, "consistency", which) for which in (slice(ramped, ramped + 10), slice(-20, None))]
    print(f"PSNR {before:.2f}, stage 1 {first:.2f}, stage 2 {second:.2f}, student {student:.2f}, teacher {teacher:.2f}")
    print(f"AUC {area:.3f}; consistency {apart[0]:.4f} to {apart[1]:.4f}")
    assert second >= before + 1
    assert second >= first
    assert area >= 0.85
    assert teacher >= before + 1
    assert teacher >= student - 0.5
    assert apart[1] <= 0.5 * apart[0]
    assert all(weight.grad is None for weight in trainer.networks["teacher"].parameters())
