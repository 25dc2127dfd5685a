"""Files chosen by a name pattern with {id}, such as "1st_manual/{id}_manual1.gif", as a source."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from torch import Tensor

from degrade.images import image_io
from degrade.stream.files import FileSource
from degrade.stream.folders import relative
from degrade.stream.source import Sample, SourceError

ID = "{id}"
_SHOWN = 3


class PatternSource(FileSource):
    """Image files whose ids are what a pattern found in their names.

    Args:
        folder: that the names are relative to.
        files: by id.
        title: of the source, in messages.
        expected: function from an id to the name of the file that it should have, for messages.
        convert: function of each image, such as one that makes a mask of one label of a label map.
        max_pixels, window: as of `FileSource`.
    """

    def __init__(
        self,
        folder: Path,
        files: dict[str, Path],
        title: str,
        *,
        expected: Callable[[str], str],
        convert: Callable[[Tensor], Tensor] | None = None,
        max_pixels: int = 100_000_000,
        window: image_io.Window | None = None,
    ) -> None:
        super().__init__(folder, list(files.values()), title, path=folder, max_pixels=max_pixels, window=window)
        if len(self.ids) != len(files):
            raise SourceError(f"{title}: files of several frames have no place in a pattern")
        self.ids = list(files)
        self.expected, self._convert = expected, convert

    def load(self, index: int) -> Sample:
        sample = super().load(index)
        return sample if self._convert is None else {"image": self._convert(sample["image"])}


def open_pattern(text: str, max_pixels: int, window: image_io.Window | None) -> PatternSource:
    """The files that a pattern names, in sorted order: {id} is any text, * any text within one name.

    Case does not matter. The folders before the first {id} or * must exist.

    Raises:
        SourceError: the folder does not exist, no file matches, one is compressed, or two have the same id.
    """
    parts = Path(text).as_posix().split("/")
    fixed = next((place for place, part in enumerate(parts) if ID in part or "*" in part), len(parts))
    root = Path("/".join(parts[:fixed]) or ("/" if text.startswith("/") else "."))
    rest = "/".join(parts[fixed:])
    files = find(root, [regex_of(rest)], f"{text!r}", f"{rest.replace(ID, '21')!r}")
    return PatternSource(
        root,
        files,
        f"the files {text!r}",
        expected=partial(text.replace, ID),
        max_pixels=max_pixels,
        window=window,
    )


def regex_of(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern, with the group "id".

    >>> regex_of("GT/{id}/*/{id}_OD.png").fullmatch("gt/drishtiGS_002/SoftMap/drishtiGS_002_OD.png")["id"]
    'drishtiGS_002'
    """
    first, *others = (re.escape(part).replace(r"\*", "[^/]*") for part in pattern.split(ID))
    marks = ["(?P<id>.+?)"] + ["(?P=id)"] * (len(others) - 1)
    text = first + "".join(mark + part for mark, part in zip(marks, others, strict=False))
    return re.compile(text, re.IGNORECASE)


def find(root: Path, wanted: Sequence[re.Pattern[str]], what: str, example: str) -> dict[str, Path]:
    """The files in a folder and below it whose relative paths match one of some regular expressions, by their "id".

    Args:
        root: the folder.
        wanted: regular expressions with a group "id".
        what, example: name of the pattern, and of a file that would match, for messages.

    Raises:
        SourceError: see `open_pattern`.
    """
    if not root.is_dir():
        raise SourceError(f"{os.fspath(root)!r} is no folder: {what} looks for its files there")
    found: dict[str, Path] = {}
    seen: list[str] = []
    for path in _files(root):
        name = relative(path, root)
        seen.append(name)
        match = _match(wanted, name)
        if match is None:
            if name.lower().endswith(".gz") and _match(wanted, name[:-3]):
                raise SourceError(f"{os.fspath(path)!r} is compressed: unpack it first (gunzip), {what} reads images")
            continue
        if match in found:
            raise SourceError(
                f"two files for the id {match!r} of {what}: {os.fspath(found[match])!r} and {os.fspath(path)!r}"
            )
        found[match] = path
    if not found:
        there = f"there are {', '.join(map(repr, seen[:_SHOWN]))}" if seen else "it is empty"
        raise SourceError(f"no file in {os.fspath(root)!r} matches {what}: expected names such as {example}; {there}")
    return found


def _match(wanted: Iterable[re.Pattern[str]], name: str) -> str | None:
    for one in wanted:
        if (match := one.fullmatch(name)) is not None:
            return match["id"]
    return None


def _files(root: Path) -> list[Path]:
    """All files below a folder, links to folders included once, hidden ones left out, in sorted order."""
    files: list[Path] = []
    seen: set[str] = set()
    for here, folders, names in os.walk(root, followlinks=True):
        if (real := os.path.realpath(here)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(here, name) for name in sorted(names) if not name.startswith(".")]
    return files
