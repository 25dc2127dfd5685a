"""Trainer of Zhao et al.: two generators and two discriminators, unpaired, with a feature constraint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam

from degrade.stream import UnpairedBatch, UnpairedStream
from enhance.losses import feature_consistent, identity, image_consistent, lsgan_discriminator, lsgan_generator
from enhance.networks.base import check_one_of
from enhance.networks.zhao import ZhaoDiscriminator, ZhaoGenerator
from enhance.trainers.base import Config, Losses, Sources, Trainer, Updater, frozen
from enhance.trainers.pool import ImagePool
from enhance.trainers.schedules import linear_decay
from enhance.trainers.seeding import seeded
from enhance.trainers.unpaired import unpaired

CYCLES = ("feature", "feature-sum", "image", "none")


@dataclass(frozen=True, kw_only=True)
class ZhaoConfig(Config):
    """Defaults: Zhao et al., MICCAI 2019 ("paper"), and where it is silent CycleGAN's.

    Attributes:
        epochs: 200 (CycleGAN); 110,000 steps of the paper's 550 images.
        batch_size: blurry images, and as many sharp ones (CycleGAN).
        size, crop: pixels (CycleGAN; the paper gives none).
        recipe: of the validation alone; what is trained on is unpaired.
        lr: learning rate of Adam, betas 0.5 and 0.999, for generators and discriminators (CycleGAN).
        decay: the last share of the steps, in which the learning rate goes to 0 linearly (CycleGAN).
        cycle: what the cycle of both generators must preserve. "feature": the discriminators' features. The paper
            prints the term of one layer l and selects all layers; the mean over them is ours; "feature-sum": their
            sum, another reading, which drowns the adversarial term;
            "image": the pixels, the paper's "w/o feature constraint"; "none".
        cycle_weight, identity_weight: beside the adversarial loss's 1, images in [-1, 1] (paper); 0 leaves them out.
        pool: generated images kept for each discriminator (CycleGAN).
        width, blocks: of the generators: channels at full resolution (paper) and residual blocks (paper).
        d_width: channels of the discriminators' first layer (PatchGAN).
    """

    epochs: int = 200
    batch_size: int = 1
    size: int | tuple[int, int] | None = 286
    crop: int | None = 256
    recipe: str = "cataract"
    channels: int = 3
    lr: float = 2e-4
    decay: float = 0.5
    cycle: Literal["feature", "feature-sum", "image", "none"] = "feature"
    cycle_weight: float = 10.0
    identity_weight: float = 10.0
    pool: int = 50
    width: int = 64
    blocks: int = 9
    d_width: int = 64


class ZhaoTrainer(Trainer):
    """L_adv + 10 L_Cfea + 10 L_idt for the generators, then least squares for the discriminators.

    Networks: `enhance` (G_e, blurry to sharp), `blur` (G_b), `judge_sharp` (D_e), `judge_blurry` (D_b).
    """

    name = "zhao"
    config_class = ZhaoConfig
    needs_low = "must"
    config: ZhaoConfig

    def __init__(self, config: ZhaoConfig) -> None:
        super().__init__(config)
        check_one_of("cycle", config.cycle, CYCLES)
        with seeded(config.seed):
            self._enhance, self._blur = (ZhaoGenerator(config.channels, config.width, config.blocks) for _ in range(2))
            self._judge_sharp, self._judge_blurry = (
                ZhaoDiscriminator(config.channels, config.d_width) for _ in range(2)
            )
        self.networks = nn.ModuleDict(
            {
                "enhance": self._enhance,
                "blur": self._blur,
                "judge_sharp": self._judge_sharp,
                "judge_blurry": self._judge_blurry,
            }
        )
        generators = chain(self._enhance.parameters(), self._blur.parameters())
        judges = chain(self._judge_sharp.parameters(), self._judge_blurry.parameters())
        self.optimizers = {
            "generator": Adam(generators, config.lr, betas=(0.5, 0.999)),
            "discriminator": Adam(judges, config.lr, betas=(0.5, 0.999)),
        }
        self._pools = {name: ImagePool(config.pool, config.seed + n) for n, name in enumerate(("sharp", "blurry"))}

    @property
    def enhancer(self) -> ZhaoGenerator:
        return self._enhance

    def stream(self, sources: Sources, **placing: Any) -> UnpairedStream:
        return self.timed(unpaired(self.name, sources, self.config, **placing))

    def step(self, batch: UnpairedBatch, number: int, update: Updater) -> Losses:
        blurry, sharp = batch.low.image * 2 - 1, batch.high.image * 2 - 1
        enhanced, blurred = self._enhance(blurry), self._blur(sharp)
        with frozen(self._judge_sharp, self._judge_blurry):
            losses = self._generator_losses(blurry, sharp, enhanced, blurred)
        update("generator", losses["generator"])
        on_sharp = lsgan_discriminator(
            self._judge_sharp(sharp).score, self._judge_sharp(self._pools["sharp"](enhanced)).score
        )
        on_blurry = lsgan_discriminator(
            self._judge_blurry(blurry).score, self._judge_blurry(self._pools["blurry"](blurred)).score
        )
        losses["discriminator"] = on_sharp + on_blurry
        update("discriminator", losses["discriminator"])
        return {name: loss.detach() for name, loss in losses.items()}

    def _generator_losses(self, blurry: Tensor, sharp: Tensor, enhanced: Tensor, blurred: Tensor) -> Losses:
        """The generators' total under `generator`, and its terms; the discriminators are frozen."""
        config = self.config
        fooling = lsgan_generator(self._judge_sharp(enhanced).score)
        losses = {"adversarial": fooling + lsgan_generator(self._judge_blurry(blurred).score)}
        total = losses["adversarial"]
        if config.cycle != "none" and config.cycle_weight:
            losses["cycle"] = self._cycle(blurry, sharp, self._blur(enhanced), self._enhance(blurred))
            total = total + config.cycle_weight * losses["cycle"]
        if config.identity_weight:
            losses["identity"] = identity(self._enhance(sharp), sharp, self._blur(blurry), blurry)
            total = total + config.identity_weight * losses["identity"]
        return {"generator": total, **losses}

    def _cycle(self, blurry: Tensor, sharp: Tensor, blurry_again: Tensor, sharp_again: Tensor) -> Tensor:
        if self.config.cycle == "image":
            return image_consistent(blurry_again, blurry, sharp_again, sharp)
        with torch.no_grad():
            on_blurry, on_sharp = self._judge_blurry(blurry).features, self._judge_sharp(sharp).features
        return feature_consistent(
            self._judge_blurry(blurry_again).features,
            on_blurry,
            self._judge_sharp(sharp_again).features,
            on_sharp,
            total=self.config.cycle == "feature-sum",
        )

    def rate(self, number: int) -> Mapping[str, float]:
        config = self.config
        return dict.fromkeys(self.optimizers, linear_decay(config.lr, number, config.steps, config.decay))

    def state(self) -> dict[str, Any]:
        return {name: pool.state() for name, pool in self._pools.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        for name, pool in self._pools.items():
            pool.load_state(state[name])
