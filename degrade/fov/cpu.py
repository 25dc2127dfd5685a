"""The field of view on a CPU: one image at a time, a thread to each core; `reference.estimate` in whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from degrade.fov.constants import SHRUNK
from degrade.fov.cpu_images import estimate_fields
from degrade.jit.threads import share, threads_for
from degrade.memory import empty


def estimate(image: Tensor) -> Tensor:
    """`reference.estimate` of images on the CPU: (B, C, H, W) -> (B, 1, H, W) of the image's type.

    The same mask, but for a pixel where a mean or an interpolated edge is rounded differently.
    """
    batch, _, height, width = image.shape
    mask = empty((batch, 1, height, width), torch.float32)
    if batch:
        factor = -(-max(height, width) // SHRUNK)
        pictures = image.detach().to(torch.float32).contiguous().numpy()
        progress = np.zeros(1, np.int64)
        work: Any = (pictures, factor, mask.numpy())
        share(lambda _: estimate_fields(progress, *work), threads_for(batch))
    return mask.to(image.dtype)
