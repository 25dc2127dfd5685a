"""Trainer of SSP-Net: one generator for two branches, a patch discriminator, texture and illumination losses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor, nn
from torch.optim import Adam

from degrade.stream import UnpairedBatch, UnpairedStream
from enhance.losses import illumination_uniformity, ssp_discriminator, ssp_generator, texture
from enhance.losses.structure import TEXTURES
from enhance.networks.base import check_one_of
from enhance.networks.sspnet import PatchDiscriminator, SSPGenerator
from enhance.trainers.base import Config, Losses, Sources, Trainer, Updater, frozen
from enhance.trainers.schedules import warm_up_then_halve
from enhance.trainers.seeding import seeded
from enhance.trainers.unpaired import unpaired


@dataclass(frozen=True, kw_only=True)
class SSPConfig(Config):
    """Defaults: Xu et al., IEEE/ACM TCBB ("paper"), and where it is silent StillGAN's, or ours.

    Attributes:
        epochs: 60 (ours; the paper gives none); 5,100 steps of its 340 bad images, four in a step.
        batch_size: bad images, and as many good ones (paper).
        size, crop: pixels; CORN-2's images are 384 x 384, trained on whole (paper).
        recipe: of the validation alone; what is trained on is unpaired.
        lr: learning rate of both Adams after the warm-up (paper); betas are 0.5, 0.9 for the generator and 0.9, 0.999
            for the discriminator (paper).
        lr_start: learning rate of the first step (paper).
        warm_up: steps from `lr_start` to `lr` (paper).
        halve_epochs: epochs until the learning rate is halved (paper); no fewer steps than the warm-up.
        lambda1, lambda2: weights of the adversarial losses of the branch fed with bad and of that fed with good images
            (paper: 0.6, 0.4).
        texture: form of the texture loss: "structure" (StillGAN), "cs", or "contrast", the paper's equation 4 to the
            letter, to which a negative is as good as the image.
        texture_weight: of the sum over the two branches, alpha (paper, garbled; the value is
            StillGAN's); 0 leaves it out.
        illumination_weight: beta, likewise.
        width, depths, decoder: of the generator: ResNet-50 (paper), channels of the decoder (ours).
        norm: of the encoder: "instance" (ours: a batch of four is small for batch norm, and good and bad images go
            through it apart) or "batch" (ResNet's), which needs a batch size of at least 2.
        d_width: channels of the discriminator's first layer (StillGAN).
        d_layers: its layers with stride 2: 3 is what pix2pix and StillGAN call three layers, five convolutions; 1 is
            the paper's "three convolution layers" to the letter.
    """

    epochs: int = 60
    batch_size: int = 4
    size: int | tuple[int, int] | None = 384
    crop: int | None = None
    recipe: str = "cornea"
    channels: int = 1
    lr: float = 1e-4
    lr_start: float = 3e-5
    warm_up: int = 500
    halve_epochs: float = 15.0
    lambda1: float = 0.6
    lambda2: float = 0.4
    texture: Literal["structure", "cs", "contrast"] = "structure"
    texture_weight: float = 5.0
    illumination_weight: float = 1.0
    width: int = 64
    depths: tuple[int, ...] = (3, 4, 6, 3)
    decoder: tuple[int, ...] = (512, 256, 128, 64, 32)
    norm: Literal["batch", "instance"] = "instance"
    d_width: int = 64
    d_layers: int = 3


class SSPTrainer(Trainer):
    """L_GAN + 5 L_TE + 1 L_IU for the generator, then the discriminator. Networks: `enhance` (G) and `judge` (D)."""

    name = "sspnet"
    config_class = SSPConfig
    needs_low = "must"
    config: SSPConfig

    def __init__(self, config: SSPConfig) -> None:
        super().__init__(config)
        check_one_of("texture", config.texture, TEXTURES)
        if config.norm == "batch" and config.batch_size < 2:
            raise ValueError(f"batch_size = {config.batch_size} with norm = 'batch': at least 2, or norm = 'instance'")
        with seeded(config.seed):
            self._enhance = SSPGenerator(config.channels, config.width, config.depths, config.decoder, config.norm)
            self._judge = PatchDiscriminator(config.channels, config.d_width, config.d_layers)
        self.networks = nn.ModuleDict({"enhance": self._enhance, "judge": self._judge})
        self.optimizers = {
            "generator": Adam(self._enhance.parameters(), config.lr, betas=(0.5, 0.9)),
            "discriminator": Adam(self._judge.parameters(), config.lr, betas=(0.9, 0.999)),
        }

    @property
    def enhancer(self) -> SSPGenerator:
        return self._enhance

    @property
    def _branches(self) -> tuple[float, float]:
        return self.config.lambda1, self.config.lambda2

    def stream(self, sources: Sources, **placing: Any) -> UnpairedStream:
        stream = self.timed(unpaired(self.name, sources, self.config, vflip=True, **placing))
        config, every = self.config, self._halve_every
        if config.warm_up > every and config.steps > every:
            raise ValueError(
                f"halve_epochs = {config.halve_epochs:g}: {every} steps of {self.epoch_steps} an epoch, fewer than "
                f"warm_up = {config.warm_up}: raise halve_epochs, or set a shorter warm_up"
            )
        return stream

    def step(self, batch: UnpairedBatch, number: int, update: Updater) -> Losses:
        low, high = batch.low.image * 2 - 1, batch.high.image * 2 - 1
        enhanced, rebuilt = self._enhance(low), self._enhance(high)
        with frozen(self._judge):
            losses = self._generator_losses(low, high, enhanced, rebuilt)
        update("generator", losses["generator"])
        losses["discriminator"] = ssp_discriminator(
            self._judge(high), self._judge(enhanced.detach()), self._judge(rebuilt.detach()), self._branches
        )
        update("discriminator", losses["discriminator"])
        return {name: loss.detach() for name, loss in losses.items()}

    def _generator_losses(self, low: Tensor, high: Tensor, enhanced: Tensor, rebuilt: Tensor) -> Losses:
        """The generator's total under `generator`, and its terms; the discriminator is frozen."""
        config = self.config
        losses = {"adversarial": ssp_generator(self._judge(enhanced), self._judge(rebuilt), self._branches)}
        total = losses["adversarial"]
        if config.texture_weight:
            pairs = ((enhanced, low), (rebuilt, high))
            first, second = (texture(_unit(image), _unit(given), config.texture) for image, given in pairs)
            losses["texture"] = first + second
            total = total + config.texture_weight * losses["texture"]
        if config.illumination_weight:
            losses["illumination"] = illumination_uniformity(_unit(enhanced))
            total = total + config.illumination_weight * losses["illumination"]
        return {"generator": total, **losses}

    def rate(self, number: int) -> Mapping[str, float]:
        config = self.config
        lr = warm_up_then_halve(config.lr, config.lr_start, number, config.warm_up, self._halve_every)
        return dict.fromkeys(self.optimizers, lr)

    @property
    def _halve_every(self) -> int:
        """Steps until the learning rate is halved."""
        return max(1, round(self.config.halve_epochs * self.epoch_steps))


def _unit(image: Tensor) -> Tensor:
    """[-1, 1] -> [0, 1]."""
    return (image + 1) / 2
