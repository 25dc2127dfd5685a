"""Search of a folder and its links for images: every file once, in sorted order."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from degrade.images.dicom import is_unnamed
from degrade.images.image_io import IMAGE_SUFFIXES
from degrade.stream.source import SourceError

_LOG = logging.getLogger("degrade.stream")
_NAMED = 10


@dataclass
class LeftOut:
    """Things in a source that are no images of it: their number, and the names of the first few."""

    count: int = 0
    names: list[str] = field(default_factory=list)

    def add(self, name: str, reason: str = "") -> None:
        """Count one more; a reason is given where it is not the suffix."""
        self.count += 1
        if len(self.names) < _NAMED:
            self.names.append(f"{name} ({reason})" if reason else name)


@dataclass
class _Folder:
    """A folder to be read: its path, and the path without links."""

    path: Path
    real: str


def find_images(root: Path) -> tuple[list[Path], LeftOut]:
    """The images in a folder and below it, by their suffix, DICOM files also without one, and the other things there.

    Linked folders are followed. One that can be reached in several ways is read once: under its own name if it lies
    below the root, else by the link with the fewest links before it, of these the first in sorted order. Hidden files
    and folders are no part of the folder. Files are sorted by folder and name.

    Raises:
        SourceError: the folder itself cannot be read.
    """
    visited: set[str] = set()
    files: list[Path] = []
    others: list[tuple[Path, str]] = []
    links = [_Folder(root, os.path.realpath(root))]
    while links:
        found: list[_Folder] = []
        for link in sorted(links, key=lambda folder: folder.path.parts):
            _read_tree(link, visited, files, others, found)
        links = found
    if others and others[0][0] == root:
        raise SourceError(f"cannot read the folder {os.fspath(root)!r}: {others[0][1]}")
    left_out = LeftOut()
    for path, reason in sorted(others, key=lambda other: _order(other[0])):
        left_out.add(relative(path, root), reason)
    return sorted(files, key=_order), left_out


def relative(path: Path, folder: Path) -> str:
    """`path` as seen from `folder`, with slashes, and with a mark for each byte that is no UTF-8."""
    try:
        text = os.path.relpath(path, folder)
    except ValueError:  # another drive of Windows
        text = path.name
    return Path(text).as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _order(path: PurePath) -> tuple[Sequence[str], str]:
    return path.parent.parts, path.name


def _read_tree(
    top: _Folder, visited: set[str], files: list[Path], others: list[tuple[Path, str]], links: list[_Folder]
) -> None:
    """Reads a folder and all below it that are no links, adding to the lists; `others` gets reasons beside paths."""
    pending = [top]
    while pending:
        folder = pending.pop()
        if folder.real in visited:
            continue
        visited.add(folder.real)
        try:
            with os.scandir(folder.path) as listed:
                entries = [entry for entry in listed if not entry.name.startswith(".")]
        except OSError as error:
            others.append((folder.path, error.strerror or str(error)))
            _LOG.warning("the folder %r cannot be read: %s", os.fspath(folder.path), error.strerror or error)
            continue
        for entry in entries:
            path = folder.path / entry.name
            try:
                is_folder = entry.is_dir()
            except OSError as error:
                others.append((path, error.strerror or str(error)))
                continue
            if is_folder and entry.is_symlink():
                links.append(_Folder(path, os.path.realpath(path)))
            elif is_folder:
                pending.append(_Folder(path, os.path.join(folder.real, entry.name)))
            elif path.suffix.lower() in IMAGE_SUFFIXES or (entry.is_file() and is_unnamed(path)):
                files.append(path)
            else:
                others.append((path, _oddity(entry)))


def _oddity(entry: os.DirEntry[str]) -> str:
    """Why something that is no folder is no regular file either; "" for a file."""
    if entry.is_file():
        return ""
    return "not a regular file" if os.path.exists(entry.path) else "a link to nothing"


def without_repetitions(paths: Sequence[Path], folder: Path, left_out: LeftOut) -> Iterator[Path]:
    """Each path once, at its first place; the others are added to what is left out."""
    seen: set[Path] = set()
    for path in paths:
        if path in seen:
            left_out.add(relative(path, folder), "named again")
        else:
            seen.add(path)
            yield path
