"""ImagePool: keeps generated images of earlier steps for the discriminator (CycleGAN's history buffer)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from enhance.networks.base import check_whole


class ImagePool:
    """Keeps up to `size` images. Once it is full, half of the new images are swapped for older ones.

    `state` saves images and random generator, `load_state` restores them exactly. Each process has its own pool.

    Args:
        size: number of images kept, on their device; 0 returns new images unchanged.
        seed: for the swaps.

    Source: Shrivastava et al., CVPR 2017, as CycleGAN has it: each image is swapped with probability 1/2.

    >>> pool = ImagePool(2)
    >>> pool(torch.zeros(2, 3, 8, 8)).shape, len(pool)
    (torch.Size([2, 3, 8, 8]), 2)
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size = check_whole("pool", size, 0)
        self._images: list[Tensor] = []
        self._generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self._images)

    def __call__(self, images: Tensor) -> Tensor:
        """(B, C, H, W) -> the same shape, detached; with size 0 the images themselves, detached."""
        images = images.detach()
        if self.size == 0:
            return images
        return torch.stack([self._exchange(image) for image in images])

    def _exchange(self, image: Tensor) -> Tensor:
        if len(self._images) < self.size:
            self._images.append(image.clone())
            return image
        swap, place = torch.rand(2, generator=self._generator, dtype=torch.float64).tolist()
        if swap < 0.5:
            return image
        index = int(place * self.size)
        older, self._images[index] = self._images[index].to(image.device), image.clone()
        return older

    def state(self) -> dict[str, Any]:
        """`images` (N, C, H, W), absent while it is empty, and `generator`, both tensors on the CPU."""
        state: dict[str, Any] = {"generator": self._generator.get_state()}
        if self._images:
            state["images"] = torch.stack(self._images).cpu()
        return state

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what `state` returned.

        Raises:
            ValueError: it holds more images than this pool may.
        """
        images = list(state["images"].unbind()) if "images" in state else []
        if len(images) > self.size:
            raise ValueError(f"pool = {self.size}: the state holds {len(images)} images")
        self._images = [image.clone() for image in images]
        self._generator.set_state(state["generator"].cpu())
