"""What ends a command: a disk that cannot be written, a folder in use; each as one line and exit code 1."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

import click

from degrade.files import LockedError

_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
}


@contextmanager
def told(go_on: str, place: object = "") -> Iterator[None]:
    """Make an OSError of the block one line and exit code 1: where, what, what is safe, and how to go on.

    Args:
        go_on: what is safe and how to go on, such as "The images written so far are whole: repeat the command".
        place: what is being written, for errors that do not say.
    """
    try:
        yield
    except LockedError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{reason(error, place)}. {go_on}") from None


def reason(error: OSError, place: object = "") -> str:
    """An OSError as "'PLACE': the disk is full"."""
    where = error.filename if error.filename is not None else place
    what = _REASONS.get(error.errno or 0) or error.strerror or str(error) or type(error).__name__
    where = os.fsdecode(where) if isinstance(where, (bytes, str, os.PathLike)) else str(where)
    return f"{where!r}: {what}" if where else what
