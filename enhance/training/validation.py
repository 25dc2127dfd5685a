"""Validation: PSNR and SSIM on held-out images with fixed degradations, and a picture of some of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from degrade.images import image_io
from degrade.stream import Source
from enhance.metrics.reference import psnr, ssim
from enhance.networks.base import EnhancementNetwork
from enhance.trainers.base import Config, Sources
from enhance.trainers.paired import paired

_ROWS, _SIDE, _GAP = 6, 256, 4


class Validation:
    """A fixed set of pairs: held-out images, degraded by the recipe of the training.

    Keys follow from the ids, in epoch 0: every call, run and device has the same degradations. Images are resized and
    cropped as in training, so that it takes seconds; `enhance evaluate` measures whole images.

    Args:
        source: held-out images.
        config: its recipe, size, crop and seed are used.
        limit: most images to use, the first of the source.
        device: of the computation.
        pairs: whether the degraded images exist: see `enhance.trainers.Sources`.
        placing: further options of the stream, such as `prepare`.
    """

    def __init__(
        self, source: Source, config: Config, limit: int, device: torch.device, pairs: bool = False, **placing: Any
    ) -> None:
        self._stream = paired(
            Sources(source.subset(set(source.ids[:limit])), pairs=pairs),
            replace(config, batch_size=1),  # sizes may differ
            shuffle=False,
            device=device,
            rank=0,
            world_size=1,
            cache_bytes=2**30,
            **placing,
        )

    def __call__(self, network: EnhancementNetwork, picture: Path) -> dict[str, float]:
        """Means over the images: psnr, ssim, degraded_psnr, degraded_ssim; and `images`, their number.

        Args:
            network: in train or eval mode, which is kept.
            picture: file to write, with rows of (degraded, enhanced, clean).
        """
        training = network.training
        network.eval()
        rows: list[list[Tensor]] = []
        sums = {"degraded_psnr": 0.0, "degraded_ssim": 0.0, "psnr": 0.0, "ssim": 0.0}
        count = 0
        with torch.no_grad():
            for batch in self._stream:
                enhanced = network.enhance(batch.degraded, batch.mask)
                for prefix, image in (("degraded_", batch.degraded), ("", enhanced)):
                    sums[f"{prefix}psnr"] += float(psnr(image, batch.clean, batch.mask))
                    sums[f"{prefix}ssim"] += float(ssim(image, batch.clean, batch.mask))
                count += 1
                if len(rows) < _ROWS:
                    rows.append([batch.degraded[0], enhanced[0], batch.clean[0]])
        network.train(training)
        image_io.write(picture, image_io.to_integer(grid(rows)))
        return {name: total / count for name, total in sums.items()} | {"images": count}


def grid(rows: list[list[Tensor]]) -> Tensor:
    """Join images (C, H, W) in [0, 1] to rows with grey lines between them: (C, H', W').

    Images larger than 256 pixels are shrunk; those that are not square are padded with black.

    >>> grid([[torch.zeros(1, 64, 64)] * 3] * 2).shape
    torch.Size([1, 132, 200])
    """
    side = min(_SIDE, max(max(image.shape[-2:]) for row in rows for image in row))
    fitted = [[image_io.resize(image.float().cpu(), side) for image in row] for row in rows]
    lines = [_joined(row, dim=2) for row in fitted]
    return _joined(lines, dim=1)


def _joined(images: list[Tensor], dim: int) -> Tensor:
    shape = list(images[0].shape)
    shape[dim] = _GAP
    gap = torch.full(shape, 0.5)
    parts = [part for image in images for part in (gap, image)]
    return torch.cat(parts[1:], dim)


def is_better(psnr: float, best: float | None) -> bool:
    """Whether a PSNR is higher than the best so far."""
    return not math.isnan(psnr) and (best is None or psnr > best)
