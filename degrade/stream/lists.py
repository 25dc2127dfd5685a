"""Text files with the path of an image on each line."""

from __future__ import annotations

import os
import re
from pathlib import Path

from degrade.stream.source import SourceError
from degrade.text import TextError, read_text

LIST_SUFFIXES = (".txt", ".lst", ".list")
_LARGEST = 1 << 30
_LONGEST = 4096
"""Largest path, bytes; Linux takes no longer ones."""


def read_list(path: Path) -> list[Path]:
    """The paths in a list, relative to its folder. Empty lines and those that begin with # are passed over.

    Raises:
        SourceError: it cannot be read, is not UTF-8, holds a NUL, or a line that is too long for any path. The
            message names the list, and the line where there is one.
    """
    try:
        lines = re.split(r"\r\n|\r|\n", read_text(path, _LARGEST))
        names = [_name(line, number) for number, line in enumerate(lines, 1)]
    except (OSError, TextError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SourceError(f"cannot read the list {os.fspath(path)!r}: {reason}") from None
    return [path.parent / name for name in names if name]


def _name(line: str, number: int) -> str:
    name = line.strip()
    if name.startswith("#"):
        return ""
    if (size := len(name.encode("utf-8", "surrogatepass"))) > _LONGEST:
        raise TextError(f"line {number}: {size:,} bytes, more than any path has")
    return name
