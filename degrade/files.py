"""Files written whole or not at all, and folders that one process at a time may write to."""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

UNFINISHED = re.compile(r"\.[0-9a-f]{16}\.tmp")
"""Names of the files that `write_bytes` leaves when its process is killed."""

LOCK = ".lock"
"""Name of the file that `locked` locks."""


class LockedError(RuntimeError):
    """A folder that another process is writing to. The message names the folder and the process."""


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file whole or not at all, through a hidden file beside it; folders are made as needed.

    The data are on the disk (fsync) before the name points to them, so a power failure leaves the old or the new file.

    Raises:
        OSError: the file cannot be written. What was at `path` before is still there then.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{secrets.token_hex(8)}.tmp"  # not tempfile: its files are private to the user
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_unfinished(folder: Path) -> None:
    """Delete what killed processes have left of files that they were writing, in a folder and below it."""
    for here, _, names in os.walk(folder):
        for name in names:
            if UNFINISHED.fullmatch(name):
                Path(here, name).unlink(missing_ok=True)


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of a folder; it is made if it does not exist. The lock ends with its process, however that ends.

    The lock is a POSIX record lock on the file `.lock`, which is deleted in the end. Worker processes do not inherit
    it, so none of them keeps it after its parent is killed. It excludes processes, not threads. On systems without
    such locks (Windows) nothing is locked.

    Raises:
        LockedError: another process holds the lock.
        OSError: the folder cannot be written to.
    """
    path = Path(folder) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ModuleNotFoundError:
        yield
        return
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner = os.read(file, 200).decode(errors="replace").strip()
            os.close(file)
            if not isinstance(error, (BlockingIOError, PermissionError)):
                raise
            raise LockedError(
                f"{os.fspath(folder)!r} is being written by another process{f' ({owner})' if owner else ''}: "
                "wait until it has ended, or choose another folder"
            ) from None
        if path.exists() and os.path.samestat(os.fstat(file), os.stat(path)):
            break
        os.close(file)  # its last owner has just deleted it
    try:
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)
