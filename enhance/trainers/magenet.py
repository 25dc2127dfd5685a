"""Trainer of MAGE-Net: two stages, segmentation for structure, and a mean teacher for real images."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Adam

from degrade.rng import keyed
from degrade.stream import Batch, Images, MixedBatch, MixedStream, PairStream
from enhance.cases import field_of_view
from enhance.losses import charbonnier, consistency, edge, gaussian_ramp_up, multi_scale_segmentation
from enhance.networks.base import check_one_of
from enhance.networks.magenet import MAGENet
from enhance.networks.segmenters import class_labels
from enhance.trainers.averaging import update_average
from enhance.trainers.base import Config, Losses, Sources, Trainer, Updater
from enhance.trainers.paired import paired
from enhance.trainers.schedules import cosine
from enhance.trainers.seeding import seeded


@dataclass(frozen=True, kw_only=True)
class MAGEConfig(Config):
    """Defaults: Guo et al., IEEE TMI 2023 ("paper"), whose text has lost its numbers; MPRNet's, mean teacher's or ours.

    Attributes:
        epochs: 160 (ours); 100,000 steps of the paper's 10,000 images, 16 in a step.
        batch_size: pairs (paper).
        unlabelled_size: real images beside them, where some are given (paper).
        size, crop: pixels; images are resized to one size (paper), which MPRNet's is for.
        recipe: 10 to 30 spots, as the paper has them.
        lr, lr_least: learning rate of Adam in the first and the last step, a cosine between them (MPRNet's numbers).
        rsp_share: share of the steps, the first ones, in which the network for structure is trained alone (the paper
            trains it first; how long is ours).
        edge_weight: of the edge loss beside Charbonnier's 1 ("the sum", paper; MPRNet: 0.05).
        segmentation_weight: of the four scales' cross-entropy (paper).
        teacher: keep a mean teacher, the average of the weights. It is the enhancer; on real images, where some are
            given, the student learns to agree with it (T-MAGE-Net). False is MAGE-Net.
        ema: decay of that average per step, smaller in the first steps: min(1 - 1/(t + 1), ema) (mean teacher).
        noise: standard deviation of what is added to the images the teacher sees, in [0, 1] (ours; the number is lost).
        consistency_weight: the largest weight of the agreement, lambda_max. A choice: the paper's number is lost; 1, 50
            and 100 are in use with mean teachers, of which 1 did best in short runs (docs/results.md).
        ramp: share of the steps after which it is reached (ours).
        stage2, cab: False leaves out the second stage, or the channel attention ("w/o CAB").
        rsp: the network for structure: "agnet", "agnet-guided" (the published filter), or "none" ("w/o RSP"), which
            needs no vessel maps. `enhance.warm_start.load_structure` begins it from a segmenter.
        structures: maps that it learns, such as vessels, disc and cup; where they overlap the last one counts (the
            paper leaves open which structures its masks have).
        width, level_step, stage2_step: channels of the first level, more per level, more in stage 2 (MPRNet's for
            deraining).
        num_cab: channel attention blocks in each of the three fundus attention blocks (MPRNet).
        rsp_width: channels of the first level of the network for structure (AG-Net).
        split: the first encoder sees two halves of the image (paper).
        checkpointing: less memory for a third more work.
    """

    epochs: int = 160
    batch_size: int = 16
    unlabelled_size: int = 8
    size: int | tuple[int, int] | None = 256
    crop: int | None = None
    recipe: str = "cofe-net-paper"
    channels: int = 3
    lr: float = 2e-4
    lr_least: float = 1e-6
    rsp_share: float = 0.1
    edge_weight: float = 1.0
    segmentation_weight: float = 0.5
    teacher: bool = True
    ema: float = 0.999
    noise: float = 0.05
    consistency_weight: float = 1.0
    ramp: float = 0.25
    stage2: bool = True
    cab: bool = True
    rsp: Literal["agnet", "agnet-guided", "none"] = "agnet"
    width: int = 40
    level_step: int = 20
    stage2_step: int = 16
    num_cab: int = 8
    rsp_width: int = 32
    structures: tuple[str, ...] = ("vessels",)
    split: bool = True
    checkpointing: bool = False


class MAGETrainer(Trainer):
    """sum_s (L_char + L_edge) + 0.5 sum_k L_s^k on pairs, + lambda(t) L_con on real images.

    Networks: `student`, which the optimizer updates, and `teacher`, its average, without gradients.
    """

    name = "magenet"
    config_class = MAGEConfig
    needs_low = "may"
    config: MAGEConfig

    def __init__(self, config: MAGEConfig) -> None:
        super().__init__(config)
        check_one_of("rsp", config.rsp, ("agnet", "agnet-guided", "none"))
        if not config.structures:
            raise ValueError("structures = (): allowed is at least one; rsp = none does without")
        with seeded(config.seed):
            self._student = MAGENet(
                config.channels,
                config.width,
                config.level_step,
                config.stage2_step,
                config.num_cab,
                None if config.rsp == "none" else config.rsp,
                config.rsp_width,
                1 + len(config.structures),
                split=config.split,
                stage2=config.stage2,
                cab=config.cab,
                checkpointing=config.checkpointing,
            )
        self._teacher = deepcopy(self._student).requires_grad_(False) if config.teacher else None
        networks = {"student": self._student, "teacher": self._teacher}
        self.networks = nn.ModuleDict({name: net for name, net in networks.items() if net is not None})
        self.optimizers = {"network": Adam(self._student.parameters(), config.lr, betas=(0.9, 0.999))}
        self.maps = () if config.rsp == "none" else config.structures

    @property
    def structure(self) -> nn.Module | None:
        """The student's network for structure; None without one."""
        return self._student.rsp

    def begin_from_enhancer(self) -> None:
        """Give the student the weights of the enhancing network, its teacher's."""
        self._student.load_state_dict(self.enhancer.state_dict())

    def follow(self) -> None:
        """Give the teacher the student's weights, once those were loaded."""
        if self._teacher is not None:
            self._teacher.load_state_dict(self._student.state_dict())

    @property
    def enhancer(self) -> MAGENet:
        return self._student if self._teacher is None else self._teacher

    def stream(self, sources: Sources, **placing: Any) -> PairStream | MixedStream:
        config = self.config
        given: dict[str, Any] = {"drop_last": True, **placing}
        if sources.low is None:
            return self.timed(paired(sources, config, **given))
        if not config.teacher:
            raise ValueError("teacher = False: real bad images (low) are of no use without a teacher")
        stream = MixedStream(
            sources.high,
            None if sources.pairs else config.recipe,
            sources.low,
            batch_size=config.batch_size,
            unlabelled_size=config.unlabelled_size,
            field_of_view=field_of_view if sources.pairs else None,
            size=config.size,
            crop=config.crop,
            seed=config.seed,
            **given,
        )
        return self.timed(stream)

    def step(self, batch: Batch | MixedBatch, number: int, update: Updater) -> Losses:
        labelled = batch.labelled if isinstance(batch, MixedBatch) else batch
        first = 0 if self._student.rsp is None else round(self.config.rsp_share * self.config.steps)
        if number < first:
            assert self._student.rsp is not None
            scales = self._student.rsp(labelled.degraded).segmentation
            losses = {"segmentation": multi_scale_segmentation(scales, self._labels(labelled))}
            total = self.config.segmentation_weight * losses["segmentation"]
        else:
            losses = self._supervised(labelled)
            total = losses["supervised"]
            if isinstance(batch, MixedBatch):
                losses["consistency"] = self._consistency(batch.unlabelled)
                ramp = gaussian_ramp_up(number - first, round(self.config.ramp * (self.config.steps - first)))
                total = total + self.config.consistency_weight * ramp * losses["consistency"]
        update("network", total)
        if self._teacher is not None:
            update_average(self._teacher, self._student, min(1 - 1 / (number + 1), self.config.ema))
        return {"total": total.detach(), **{name: loss.detach() for name, loss in losses.items()}}

    def _supervised(self, batch: Batch) -> Losses:
        """L_sup under `supervised`, and its terms."""
        config = self.config
        output = self._student(batch.degraded)
        losses = {}
        for number, stage in enumerate(output.stages, 1):
            errors = charbonnier(stage, batch.clean) + config.edge_weight * edge(stage, batch.clean)
            losses[f"stage{number}"] = errors
        total = torch.stack(list(losses.values())).sum()
        if output.segmentation:
            losses["segmentation"] = multi_scale_segmentation(output.segmentation, self._labels(batch))
            total = total + config.segmentation_weight * losses["segmentation"]
        return {"supervised": total, **losses}

    def _consistency(self, batch: Images) -> Tensor:
        """L_con between the student on the images and the teacher on noisy ones."""
        assert self._teacher is not None
        image = batch.image
        noise = keyed.normals(batch.keys, "teacher", tuple(image.shape[1:])).to(image.dtype)
        ours = self._student(image)
        with torch.no_grad():
            theirs = self._teacher((image + self.config.noise * noise).clamp(0, 1))
        return consistency(ours.stages, theirs.stages, ours.segmentation, theirs.segmentation)

    def rate(self, number: int) -> Mapping[str, float]:
        config = self.config
        return {"network": cosine(config.lr, config.lr_least, number, config.steps)}

    def _labels(self, batch: Batch) -> Tensor:
        return class_labels(batch.maps, self.config.structures)
