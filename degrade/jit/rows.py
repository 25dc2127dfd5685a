# mypy: disable-error-code="no-untyped-call"
"""Memory for rows of numbers that whole vectors can be read from: one that crosses a cache line takes twice as long.

And the same memory as other numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numba import types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array
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


def _int32_of(typing: Any, row: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        given = context.make_array(signature.args[0])(context, builder, arguments[0])
        made = context.make_array(signature.return_type)(context, builder)
        same = {name: getattr(given, name) for name in ("shape", "strides", "itemsize", "meminfo", "parent")}
        populate_array(made, data=builder.bitcast(given.data, made.data.type), **same)
        return impl_ret_borrowed(context, builder, signature.return_type, made._getvalue())

    return row.copy(dtype=types.int32)(row), generate


int32_of = cast(Callable[[NDArray[Any]], NDArray[np.int32]], intrinsic(_int32_of))
"""In a kernel: an array of 32-bit numbers as int32, as `view` does, which takes a third of a second to compile."""
