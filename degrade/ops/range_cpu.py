"""Whether an image may hold more than numbers from 0 to 1, as a loop over its bits."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import inner_loop

ONE_AS_BITS = int(np.float32(1).view(np.uint32))
"""As whole numbers the bits of positive floats are in the floats' order, and NaN and all negative ones come after 1."""


@inner_loop
def largest_bits(bits: NDArray[np.uint32], begin: int, end: int) -> Any:
    """The largest whole number of (C, H, W) in the rows begin to end - 1."""
    most = np.uint32(0)
    for c in range(bits.shape[0]):
        for row in range(begin, end):
            line = bits[c, row]
            for j in range(len(line)):
                most = max(most, line[j])
    return most
