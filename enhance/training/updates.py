"""FabricUpdater: gradients, their mean over the processes, a step of the optimizer; and the running average."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn

from enhance.trainers.base import Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class FabricUpdater:
    """Makes a loss into an update: gradients, their mean over the processes, clipping, a step of the optimizer.

    The gradients are averaged here, in one flat message after the backward pass, and not by DistributedDataParallel:
    its hooks count on one backward pass for each forward pass of a module, which a GAN does not have. A parameter
    must have a gradient in all processes or in none.
    """

    def __init__(self, fabric: Fabric, trainer: Trainer) -> None:
        self._fabric, self._trainer = fabric, trainer

    def __call__(self, name: str, loss: Tensor) -> None:
        optimizer = self._trainer.optimisers[name]
        parameters = list(self._trainer.parameters(name))
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self._fabric.device.type, enabled=False):  # the backward pass has the types of the forward
            self._fabric.backward(loss)
        self._average([weight.grad for weight in parameters if weight.grad is not None])
        if self._trainer.config.clip:
            nn.utils.clip_grad_norm_(parameters, self._trainer.config.clip)
        optimizer.step()
        torch.clear_autocast_cache()  # else what follows in this step would see the old weights in bfloat16

    def _average(self, gradients: list[Tensor]) -> None:
        if self._fabric.world_size == 1 or not gradients:
            return
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        distributed.all_reduce(flat)
        flat /= self._fabric.world_size
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, mean in zip(gradients, torch.split(flat, sizes), strict=True):
            gradient.copy_(mean.view_as(gradient))
