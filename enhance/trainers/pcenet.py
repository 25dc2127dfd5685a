"""Trainer of PCE-Net: sequences of degraded copies, L1, and the feature pyramid constraint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn
from torch.optim import Adam

from degrade.stream import Batch, PairStream
from enhance.losses import feature_pyramid_constraint, seqlc_l1
from enhance.networks.pcenet import PCENet
from enhance.trainers.base import Config, Losses, Sources, Trainer, Updater
from enhance.trainers.paired import paired
from enhance.trainers.schedules import linear_decay
from enhance.trainers.seeding import seeded
from enhance.trainers.windows import cut_windows


@dataclass(frozen=True, kw_only=True)
class PCEConfig(Config):
    """Defaults: Liu et al., MICCAI 2022 ("paper"), and where it is silent the released code ("code").

    Attributes:
        epochs: 200 (paper); 840,800 steps of EyeQ's 16,817 good images, four in a step.
        batch_size: clean images; the network sees `batch_size * views` degraded ones in a step: 16 (paper).
        size: pixels; drawn from a range (code: one of 286, 306, 326, 346).
        crop: pixels (paper).
        recipe: code.
        views: K, the degraded copies of an image in a step (code; the paper gives no number).
        lr: learning rate of Adam (paper; the code's default is 2e-4).
        decay: the last share of the steps, in which the learning rate goes to 0 linearly: 50 of 200 epochs (paper).
        seq: False is "w/o SeqLC": one degraded copy of each of `batch_size * views` images, so that a step is as large.
            The constraint is 0 then.
        frozen: without SeqLC each image has one degraded copy for the whole run, of its whole frame; False degrades it
            anew in each epoch, which is a sequence over the epochs.
        lpf: False is "w/o LPF": a plain U-Net with one input, the image.
        multi_input: without LPF, feed the images of the Gaussian pyramid to all levels of the encoder.
        gain, clamp, smooth_up: of the Laplacian pyramid (code); the paper's are 1, false and false.
        lambda_c: weight of the feature pyramid constraint beside the L1 of images in [-1, 1] (paper); 0 is "w/o FPC".
        width: channels of the first level (code).
    """

    epochs: int = 200
    batch_size: int = 4
    size: int | tuple[int, int] | None = (286, 346)
    crop: int | None = 256
    recipe: str = "pce-net"
    channels: int = 3
    views: int = 4
    lr: float = 1e-3
    decay: float = 0.25
    seq: bool = True
    frozen: bool = True
    lpf: bool = True
    multi_input: bool = False
    gain: float = 4.0
    clamp: bool = True
    smooth_up: bool = True
    lambda_c: float = 0.1
    width: int = 64


class PCETrainer(Trainer):
    """L_E + lambda_C L_C on K degraded copies of each image; black outside the field of view."""

    name = "pcenet"
    config_class = PCEConfig
    config: PCEConfig

    def __init__(self, config: PCEConfig) -> None:
        super().__init__(config)
        with seeded(config.seed):
            self._network = PCENet(
                config.channels,
                config.width,
                config.lpf,
                config.gain,
                config.clamp,
                config.smooth_up,
                one_input=not config.lpf and not config.multi_input,
            )
        self._cuts = False
        self.networks = nn.ModuleDict({"network": self._network})
        self.optimizers = {"network": Adam(self._network.parameters(), config.lr, betas=(0.9, 0.999))}

    @property
    def enhancer(self) -> PCENet:
        return self._network

    def stream(self, sources: Sources, **placing: Any) -> PairStream:
        config = self.config
        if not config.seq and not sources.pairs:  # as many images as there would be degradations
            config = replace(config, batch_size=config.batch_size * config.views)
        views = config.views if config.seq or sources.pairs else 1
        fixed = config.frozen and not config.seq
        self._cuts = fixed and not sources.pairs
        if not self._cuts:
            return self.timed(paired(sources, config, views=views, hflip=True, vflip=True, drop_last=True, **placing))
        side = config.size if config.size is None or isinstance(config.size, int) else config.size[1]
        config = replace(config, size=side, crop=None)
        return self.timed(paired(sources, config, views=views, fixed=True, drop_last=True, **placing))

    def step(self, batch: Batch, number: int, update: Updater) -> Losses:
        if self._cuts:
            batch = cut_windows(batch, self.config.size, self.config.crop, number)
        degraded = batch.degraded if batch.degraded.ndim == 5 else batch.degraded[:, None]
        images, copies = degraded.shape[:2]
        mask = batch.mask.repeat_interleave(copies, 0)
        output = self._network(degraded.flatten(0, 1) * 2 - 1, mask)
        enhanced = output.image.unflatten(0, (images, copies))
        l1 = seqlc_l1(enhanced, batch.clean * 2 - 1, batch.mask)
        constraint = feature_pyramid_constraint([level.unflatten(0, (images, copies)) for level in output.features])
        total = l1 + self.config.lambda_c * constraint
        update("network", total)
        return {"total": total.detach(), "l1": l1.detach(), "constraint": constraint.detach()}

    def rate(self, number: int) -> Mapping[str, float]:
        config = self.config
        return {"network": linear_decay(config.lr, number, config.steps, config.decay)}
