"""Whether a result can be written, found out before the work, and where it goes if it cannot be after all."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

import click

from degrade.files import write_bytes

from .failures import say
from .problems import reason, told


def check_writable(out: Path, size: int = 1) -> None:
    """Write `size` bytes beside a file to be, and delete them; exit code 1 and one line where that fails.

    Folders that do not exist yet are not made: the one that they will be in is tried.
    """
    if out.is_dir():
        raise click.ClickException(f"{str(out)!r} is a folder. Nothing was done: give the name of a file")
    folder = out.parent
    with told("Nothing was done: mend that, or choose another place", out):
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        trial = folder / f".{secrets.token_hex(8)}.tmp"
        try:
            with open(trial, "xb") as file:
                file.write(b"\0" * size)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with suppress(OSError):
                trial.unlink()
            raise OSError(error.errno, error.strerror, str(out)) from None
        trial.unlink()


def keep(out: Path, data: bytes) -> None:
    """Write a file; where that fails put it into the system's temporary folder, say so, and end with exit code 1."""
    try:
        write_bytes(out, data)
        return
    except OSError as error:
        problem = reason(error, out)
    for folder in (tempfile.gettempdir, Path.home, Path.cwd):
        try:
            instead = Path(folder(), f"{out.stem}_{secrets.token_hex(4)}{out.suffix}")
            write_bytes(instead, data)
        except (OSError, RuntimeError):  # RuntimeError: there is no home
            continue
        say(f"Error: {problem}. The result is in {str(instead)!r} instead: move it from there", err=True)
        raise SystemExit(1)
    raise click.ClickException(f"{problem}. It fits nowhere else either: it is lost. Make room, and repeat the command")
