"""Memory for rows of numbers that whole vectors can be read from: one that crosses a cache line takes twice as long."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from degrade.jit.compiler import kernel

LINE = 16
"""Numbers in a cache line, and in the widest vectors."""


@kernel
def aligned(rows: Any, columns: int) -> NDArray[np.float32]:
    """(rows, columns) float32 that begins a cache line, as each row does if `columns` is a multiple of `LINE`."""
    spare = np.empty(rows * columns + LINE, np.float32)
    start = -(spare.ctypes.data // 4) % LINE
    return spare[start : start + rows * columns].reshape(rows, columns)
