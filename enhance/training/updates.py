"""FabricUpdater: backpropagate a loss, average gradients over the processes, clip, step the optimizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, distributed, nn

from enhance.trainers.base import Trainer

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class FabricUpdater:
    """Callback for a trainer's step: backpropagates a loss and steps that optimizer.

    Gradients are averaged over the processes and clipped before. A parameter must have a gradient in all processes or
    in none.
    """

    # Averaged by hand, in one message after the backward pass. `Fabric.setup` averages by DistributedDataParallel,
    # which sees only what goes through the forward pass of the wrapped module: where a step trains a part of a network
    # by itself, as that of MAGE-Net for structure, each process silently keeps its own gradients (shown in
    # tests/enhance/test_processes.py). `Fabric.all_reduce` puts a barrier before each message, and NCCL's makes the
    # host wait until the GPU has done all its work.

    def __init__(self, fabric: Fabric, trainer: Trainer) -> None:
        self._fabric, self._trainer = fabric, trainer

    def __call__(self, name: str, loss: Tensor) -> None:
        optimizer = self._trainer.optimizers[name]
        parameters = list(self._trainer.parameters(name))
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self._fabric.device.type, enabled=False):  # backward runs in the types of forward
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
