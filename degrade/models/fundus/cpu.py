"""The Cofe-Net degradations of a batch on a CPU without gradients: one image at a time, a thread to each core.

Loops that need no memory but a few planes, kept from image to image. An image's numbers are the same alone and in any
batch, with any number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.base import Call, check_values
from degrade.jit.threads import share, threads_for
from degrade.memory import empty
from degrade.models.fundus.cpu_images import degrade_images
from degrade.ops.interpolation import weights_between
from degrade.rng.streams import stream_words


def degrade(call: Call) -> Tensor:
    """`Fundus._define`: new float32 tensor (B, C, H, W).

    ValueError for images that are not in [0, 1].
    """
    image, mask, packed = call.image.detach(), call.mask, call.packed
    assert mask is not None
    assert packed is not None
    batch, _, height, width = image.shape
    out = empty(image.shape, torch.float32)
    if not batch:
        return out
    pictures, masks = (tensor.to(torch.float32).contiguous().numpy() for tensor in (image, mask.detach()))
    rows = packed.rows.numpy()
    threads = threads_for(batch)
    scratch = empty((threads, 2, height, width), torch.float32).numpy()
    progress = np.zeros(2, np.int64)
    work: Any = (pictures, pictures.view(np.uint32), masks, out.numpy(), rows, rows.view(np.uint32), packed.count)
    fixed: Any = (not call.settings["exact"], _weights(), stream_words("pixel"))
    share(lambda thread: degrade_images(progress, scratch[thread], *work, *fixed), threads)
    if progress[1]:
        check_values(image)
    return out


@functools.cache
def _weights() -> NDArray[np.float32]:
    """`weights_between` of the steps 1, 2, 4, ..., 128."""
    weights = np.zeros((8, 128, 6), np.float32)
    for power in range(len(weights)):
        weights[power, : 1 << power] = weights_between(1 << power).numpy()
    return weights
