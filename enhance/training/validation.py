"""Validation: PSNR and SSIM on held-out images with fixed degradations, and a picture of some of them."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from degrade.display import Tile, sheet
from degrade.images import image_io
from degrade.stream import Source
from enhance.metrics.reference import psnr, ssim
from enhance.networks.base import EnhancementNetwork
from enhance.trainers.base import Config, Sources
from enhance.trainers.paired import paired

_ROWS, _LEAST, _SIDE = 6, 192, 256


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

    def __call__(self, network: EnhancementNetwork, picture: Path, step: int) -> dict[str, float]:
        """Means over the images: psnr, ssim, degraded_psnr, degraded_ssim; and `images`, their number.

        Args:
            network: in train or eval mode, which is kept.
            picture: file to write, with labelled rows of input, output and reference.
            step: of the training, for the picture.
        """
        training = network.training
        network.eval()
        rows: list[list[Tile]] = []
        sums = {"degraded_psnr": 0.0, "degraded_ssim": 0.0, "psnr": 0.0, "ssim": 0.0}
        count = 0
        with torch.no_grad():
            for batch in self._stream:
                enhanced = network.enhance(batch.degraded, batch.mask)
                found = {}
                for prefix, image in (("degraded_", batch.degraded), ("", enhanced)):
                    found[f"{prefix}psnr"] = float(psnr(image, batch.clean, batch.mask))
                    found[f"{prefix}ssim"] = float(ssim(image, batch.clean, batch.mask))
                sums = {name: total + found[name] for name, total in sums.items()}
                count += 1
                if len(rows) < _ROWS:
                    rows.append(
                        [
                            Tile(f"input, {found['degraded_psnr']:.1f} dB", batch.degraded[0]),
                            Tile(f"output, {found['psnr']:.1f} dB", enhanced[0]),
                            Tile(f"reference: {batch.ids[0]}", batch.clean[0]),
                        ]
                    )
        network.train(training)
        write_sheet(picture, rows, f"after step {step:,}: PSNR within the field of view, of images kept out")
        return {name: total / count for name, total in sums.items()} | {"images": count}


def write_sheet(file: Path, rows: list[list[Tile]], last: str) -> None:
    """Write labelled rows of pictures, 192 to 256 pixels each as the images are, and a line at the end."""
    longest = max((max(tile.image.shape[-2:]) for row in rows for tile in row), default=0)
    picture = np.asarray(sheet(rows, min(_SIDE, max(longest, _LEAST)), last))
    image_io.write(file, torch.from_numpy(picture.transpose(2, 0, 1).copy()))


def is_better(psnr: float, best: float | None) -> bool:
    """Whether a PSNR is higher than the best so far."""
    return not math.isnan(psnr) and (best is None or psnr > best)
