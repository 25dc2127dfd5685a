"""Standard input, output and error that were closed by the caller, opened again on the null device."""

from __future__ import annotations

import os
import sys


def open_closed() -> None:
    """Open what is closed of file descriptors 0, 1 and 2, and of sys.stdout and sys.stderr, on the null device.

    Else the next file that is opened gets the number of the missing one, and what libraries print goes into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
