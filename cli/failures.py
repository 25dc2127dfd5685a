"""Images that failed: noted one by one, listed in failed.jsonl, told at the end, and counted in the exit status."""

from __future__ import annotations

import errno
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import click

from degrade.files import write_bytes
from degrade.pairs.layout import FAILED
from degrade.pairs.making import FAILURES, reason
from degrade.text import shown

from . import problems

__all__ = ["FAILED", "FAILURES", "Failures", "is_about_name", "printable", "reason", "say"]

_OF_A_NAME = frozenset(
    getattr(errno, name)
    for name in ("ENAMETOOLONG", "EINVAL", "EILSEQ", "EISDIR", "ENOTDIR", "EEXIST", "ELOOP")
    if hasattr(errno, name)
)


@dataclass
class Failures:
    """What failed so far: (image, reason) each.

    >>> failures = Failures()
    >>> failures.add("a.png", ValueError("it is too small"))
    >>> failures.entries, failures.status(tried=2, strict=False), failures.status(tried=2, strict=True)
    ([('a.png', 'it is too small')], 0, 1)
    """

    entries: list[tuple[str, str]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, name: str, error: BaseException | str) -> None:
        """Note an image by its name in SOURCE, and why it failed."""
        self.entries.append((name, error if isinstance(error, str) else reason(error)))

    def write(self, listing: Path) -> None:
        """Write a line of JSON for each, or delete the file if nothing failed."""
        if not self.entries:
            listing.unlink(missing_ok=True)
            return
        lines = (
            json.dumps({"source": printable(name), "error": printable(error)}, ensure_ascii=False)
            for name, error in self.entries
        )
        write_bytes(listing, "".join(f"{line}\n" for line in lines).encode())

    def tell(self, listing: Path | None = None, most: int = 20, err: bool = False, what: str = "images") -> None:
        """Print how many failed, where they are listed, and the first ones."""
        if not self.entries:
            return
        where = f"; {listing} lists them" if listing is not None else ""
        say(f"{len(self)} {what} failed{where}:", err)
        for name, error in self.entries[:most]:
            say(f"  {name if len(name) <= 100 else shown(name)}: {error}", err)
        if len(self) > most:
            say(f"  and {len(self) - most} more", err)

    def status(self, tried: int, strict: bool) -> int:
        """The exit status: 1 if everything that was tried failed, with `strict` if anything did."""
        return 1 if self.entries and (strict or len(self) >= tried) else 0


def is_about_name(error: OSError) -> bool:
    """Whether a file cannot be written because of its name, and others beside it can: too long, a folder, ..."""
    return error.errno in _OF_A_NAME


def say(text: str, err: bool = False) -> None:
    """Print a line on stdout or stderr, with what their encoding does not have escaped.

    A stderr that is gone, with its terminal, is no error: nobody is there to be told. A stdout that cannot be written
    to ends the command with one line and exit code 1.
    """
    stream = sys.stderr if err else sys.stdout
    try:
        click.echo(printable(text, getattr(stream, "encoding", None) or "utf-8"), err=err)
    except BrokenPipeError:
        raise  # click ends the command quietly
    except OSError as error:
        if err:
            return
        _give_up(stream)
        raise click.ClickException(f"cannot write to stdout: {problems.reason(error)}") from None


def _give_up(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere: Python would try to write it once more in the end."""
    with suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def printable(text: str, encoding: str = "utf-8") -> str:
    r"""A text with the characters that an encoding does not have as escapes.

    >>> printable("a\udcff b")
    'a\\udcff b'
    """
    return text.encode(encoding, "backslashreplace").decode(encoding)
