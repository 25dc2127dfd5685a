"""The cataract model of a batch on a CPU without gradients: one image at a time, a thread to each core.

No memory but the result, a plane for each thread, and the rows that the blur still needs. An image's numbers are the
same alone and in any batch, with any number of threads.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from degrade.call import Call
from degrade.checks import check_values
from degrade.framing import in_frames
from degrade.jit.threads import share, threads_for
from degrade.memory import empty
from degrade.models.cataract.cpu_images import cloud_images


def degrade(call: Call) -> Tensor:
    """`Cataract._define`, in frames."""
    return in_frames(functools.partial(_degrade, given=call.image), call)


def _degrade(call: Call, given: Tensor) -> Tensor:
    """A float32 tensor (B, C, H, W) for a call whose images are their frames.

    It is new where the image is what was given, else in the memory of the frames' copy, which nobody else has.
    ValueError for images that are not in [0, 1].
    """
    batch, _, height, width = call.image.shape
    if not batch:
        return empty(call.image.shape, torch.float32)
    pictures, masks, rows = call.arrays()
    result = empty(call.image.shape, torch.float32) if call.image is given else torch.from_numpy(pictures)
    threads = threads_for(batch)
    scratch = empty((threads, 1, height, width), torch.float32).numpy()
    progress, ones = np.zeros(2, np.int64), np.ones((1, width), np.float32)
    work: Any = (pictures, pictures.view(np.uint32), masks, ones, rows, result.numpy())
    share(lambda thread: cloud_images(progress, scratch[thread], *work), threads)
    if progress[1]:
        check_values(given)
    return result
