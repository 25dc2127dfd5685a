"""Trainer of X-BDCNN: denoising, with a loss on the estimated noise levels, whose true values are known.

Source: Yin, Qi, Cai, Li: X-Ray Image Enhancement Using Blind Denoising Neural Networks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from degrade.models.xray import PoissonGaussian, noise_level_maps, released_level_maps, standard_deviation_map
from degrade.recipes import recipe
from degrade.stream import Batch, PairStream
from enhance.losses.denoising import asymmetric_level, level_total_variation, mse_ssim
from enhance.networks.xbdcnn import XBDCNN, XBDCNNOutput
from enhance.trainers.base import Config, Losses, Sources, Trainer, Updater
from enhance.trainers.paired import paired
from enhance.trainers.seeding import seeded


@dataclass(frozen=True, kw_only=True)
class XBDCNNConfig(Config):
    """Defaults: the paper; "ours" marks the rest. The preset "released" has the settings of the group's code.

    Attributes:
        epochs: 40 (paper); 280,000 steps of 224,000 patches (70 % of 320,000), by 32.
        batch_size: images on each process; the paper does not say, CBDNet's port has 32; released: 64.
        size: images keep theirs.
        crop: side of the windows, pixels: 128.
        recipe: Poisson-Gaussian noise with sigma in (0, 20) and eta in (0.4, 1.9).
        channels: grey.
        patches: windows of each image in an epoch: 320,000 from 10,000.
        first_rate, last_rate: of Adam, in the first half of the epochs and in the second: 1e-3 and 1e-4.
        mse, ssim, level, smoothness: the weights lambda of the four losses: 0.4, 0.6, 0.5, 0.05.
        loss_on: "image", the denoised one, or "residual", the noise (released). Only SSIM sees a difference.
        mse_grey: grey level of white in the squared error: 255, the paper's scale of images and of noise (ours: no
            range is printed); released: 1. Before 0.3 it was 1, with which SSIM does the work.
        ssim_range: range in SSIM's constants, 1 for images in [0, 1]; released: 255, with which SSIM is nearly 1.
        level_grey: grey level of white in the losses of the levels: 255; released: 1.
        asymmetry: "text", underestimated noise costs more (the paper's text), "printed", the sign of its equation 3, or
            "hinge" (released): see `enhance.losses.asymmetric_level`.
        smoothness_per_batch: sum the smoothness over the batch (released) instead of its mean.
        alpha: weight of overestimated noise, and 1 - alpha of underestimated noise: 0.3.
        width, level_width: channels of the denoiser at full resolution (CBDNet's 64) and of the level estimation (32).
        maps: kind of the noise level maps, see `enhance.networks.xbdcnn.XBDCNNOutput`; the paper does not define them;
            released: "eta".
        share_layers: layers 2 to 4 of the level estimation share their weights (released).
        last_kernel: side of the denoiser's last convolution: 3; released: 1.
        denoiser: "unet" (paper), or "dncnn", the trainable peer: with nle=False and ssim_loss=False it is DnCNN.
        nle: False is the ablation without noise level estimation (Table I, "w/o NLE").
        ssim_loss: False is the ablation without the SSIM loss (Table I, "w/o SSIM loss").
        detach_level: the denoiser's loss does not reach the level estimation. Ours; the paper trains jointly.
    """

    epochs: int = 40
    batch_size: int = 32
    size: int | tuple[int, int] | None = None
    crop: int | None = 128
    recipe: str = "x-bdcnn"
    channels: int = 1
    patches: int = 32
    first_rate: float = 1e-3
    last_rate: float = 1e-4
    mse: float = 0.4
    ssim: float = 0.6
    level: float = 0.5
    smoothness: float = 0.05
    loss_on: Literal["image", "residual"] = "image"
    mse_grey: float = 255.0
    ssim_range: float = 1.0
    level_grey: float = 255.0
    asymmetry: Literal["text", "printed", "hinge"] = "text"
    smoothness_per_batch: bool = False
    alpha: float = 0.3
    width: int = 64
    level_width: int = 32
    maps: Literal["levels", "eta", "pixel"] = "levels"
    share_layers: bool = False
    last_kernel: int = 3
    denoiser: Literal["unet", "dncnn"] = "unet"
    nle: bool = True
    ssim_loss: bool = True
    detach_level: bool = False


class XBDCNNTrainer(Trainer):
    """X-BDCNN with one Adam: L = 0.4 MSE + 0.6 (1 - SSIM) + 0.5 L_asymm + 0.05 L_TV (section on the loss)."""

    name = "xbdcnn"
    config_class = XBDCNNConfig
    config: XBDCNNConfig

    def __init__(self, config: XBDCNNConfig) -> None:
        super().__init__(config)
        noise = recipe(config.recipe)
        if not isinstance(noise, PoissonGaussian):
            raise ValueError(
                f"recipe = {config.recipe!r}: xbdcnn learns the levels of Poisson-Gaussian noise (x-bdcnn)"
            )
        self._levels = noise.levels
        with seeded(config.seed):
            self.network = XBDCNN(
                config.channels,
                config.width,
                config.level_width,
                config.maps,
                config.nle,
                config.share_layers,
                config.last_kernel,
                config.denoiser,
            )
        self.networks = nn.ModuleDict({"enhancer": self.network})
        self.optimizers = {"enhancer": torch.optim.Adam(self.network.parameters(), config.first_rate)}

    @property
    def enhancer(self) -> XBDCNN:
        return self.network

    def stream(self, sources: Sources, **placing: Any) -> PairStream:
        config = self.config
        if sources.pairs and config.nle and "eta" not in (sources.high.parameters(0) or ()):
            raise ValueError(
                f"nle = True: the noise levels of {sources.high.title} are not known, set nle=false "
                "(of pairs only those that 'degrade synth' wrote with x-bdcnn have them)"
            )
        return self.timed(paired(sources, config, patches=config.patches, drop_last=True, **placing))

    def rate(self, number: int) -> Mapping[str, float]:
        config = self.config
        return {"enhancer": config.first_rate if 2 * number < config.steps else config.last_rate}

    def step(self, batch: Batch, number: int, update: Updater) -> Losses:
        image, levels = self._forward(batch.degraded)
        losses = {"denoising": self._denoising(image, batch)}
        total = losses["denoising"]
        if levels is not None:
            config = self.config
            losses["level"] = asymmetric_level(
                levels, self._target(batch), config.alpha, config.asymmetry, config.level_grey
            )
            losses["smoothness"] = level_total_variation(levels, config.level_grey, config.smoothness_per_batch)
            total = total + config.level * losses["level"] + config.smoothness * losses["smoothness"]
        update("enhancer", total)
        return {name: loss.detach() for name, loss in (losses | {"total": total}).items()}

    def _forward(self, degraded: Tensor) -> XBDCNNOutput:
        network = self.network
        if not self.config.detach_level or network.nle is None:
            output: XBDCNNOutput = network(degraded)
            return output
        levels = network.nle(degraded)
        return XBDCNNOutput(degraded + network.nbd(torch.cat([degraded, levels.detach()], 1)), levels)

    def _denoising(self, image: Tensor, batch: Batch) -> Tensor:
        config = self.config
        clean = batch.clean
        if config.loss_on == "residual":
            image, clean = image - batch.degraded, clean - batch.degraded
        if config.ssim_loss:
            return mse_ssim(image, clean, (config.mse, config.ssim), config.mse_grey, config.ssim_range)
        return config.mse * config.mse_grey**2 * F.mse_loss(image.float(), clean)

    def _target(self, batch: Batch) -> Tensor:
        """The true level maps, (B, 2 or C, H, W)."""
        if self.config.maps == "pixel":
            return standard_deviation_map(batch.clean, batch.parameters, self._levels)
        height, width = batch.clean.shape[-2:]
        if self.config.maps == "eta":
            return released_level_maps(batch.parameters, height, width, self._levels)
        return noise_level_maps(batch.parameters, height, width, self._levels)
