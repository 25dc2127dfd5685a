"""The cataract model of a batch on a CPU without gradients: one image at a time, a thread to each core.

No memory but the result, a frame with its veil for each thread, and the rows that the blur still needs. An image's
numbers are the same alone and in any batch, with any number of threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from degrade.call import Call
from degrade.checks import check_values
from degrade.fov.cpu_frames import frames_of
from degrade.jit.threads import share, threads_for
from degrade.memory import empty
from degrade.models.cataract.cpu_images import cloud_images
from degrade.ops.constants import LUMA


def degrade(call: Call) -> Tensor:
    """`Cataract._define`, in frames: new float32 tensor (B, C, H, W).

    ValueError for images that are not in [0, 1].
    """
    batch, channels, height, width = call.image.shape
    result = empty(call.image.shape, torch.float32)
    if not batch:
        return result
    pictures, masks, rows = call.arrays()
    threads, framed = threads_for(batch), call.frame is not None
    frames = frames_of(call.frame, batch, height, width)
    pixels = int((frames[:, 2] * frames[:, 3]).max())
    scratch = empty((threads, 2 + channels if framed else 1, pixels), torch.float32).numpy()
    progress, ones = np.zeros(2, np.int64), np.ones((1, int(frames[:, 2].max())), np.float32)
    work: Any = (pictures, pictures.view(np.uint32), masks, ones, luma_weights(channels), rows)
    where: Any = (frames, framed, isinstance(call.frame, str), result.numpy())
    share(lambda thread: cloud_images(progress, scratch[thread], *work, *where), threads)
    if progress[1]:
        check_values(call.image)
    return result


def luma_weights(channels: int) -> NDArray[np.float32]:
    """(C,) of the channels in the luma; a grey image is its own."""
    return np.array(LUMA if channels == 3 else (1,), np.float32)
