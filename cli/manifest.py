"""manifest.jsonl: a line per degraded image, written to a part per process and put in order at the end."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from cli.sources import Item

MANIFEST = "manifest.jsonl"
_PARTS = "manifest.part*.jsonl"


class Place(NamedTuple):
    """Where a line lies, and what tells whether it belongs to an item."""

    file: Path
    start: int
    source: str
    key: int


Index = dict[tuple[str, int], Place]
"""The lines of a data set by id and view."""


def line(id_: str, view: int, source: str, key: int, parameters: dict[str, Any]) -> str:
    """A line of the manifest, without its end."""
    entry = {"id": id_, "view": view, "source": source, "key": key, "parameters": parameters}
    return json.dumps(entry, ensure_ascii=False, allow_nan=False)


def read(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The whole lines of a file, each with its place; what a killed process left of a line is passed over."""
    with open(path, "rb") as file:
        start = 0
        for raw in file:
            try:
                entry = json.loads(raw) if raw.endswith(b"\n") else None
            except ValueError:
                entry = None
            if isinstance(entry, dict) and {"id", "view", "source", "key", "parameters"} <= entry.keys():
                yield start, entry
            start += len(raw)


def index(root: Path) -> Index:
    """Every line of the data set in `root`, finished or not."""
    found: Index = {}
    for file in [root / MANIFEST, *parts(root)]:
        if file.exists():
            for start, entry in read(file):
                found[entry["id"], entry["view"]] = Place(file, start, entry["source"], entry["key"])
    return found


def parts(root: Path) -> list[Path]:
    """The files of a run that has not ended."""
    return sorted(root.glob(_PARTS))


@contextmanager
def open_part(root: Path, rank: int) -> Iterator[BinaryIO]:
    """The file that a process appends its lines to; the torn end of a line is cut off first."""
    with open(root / f"manifest.part{rank}.jsonl", "a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        yield file


def merge(root: Path, items: Iterable[Item], keys: Callable[[str], Sequence[int]]) -> int:
    """Writes the manifest in the order of `items`, with the keys of the views of each; the number of lines written.

    Items without a line for each view are left out. The parts are deleted once the manifest is in place.
    """
    lines = index(root)
    temporary = root / f".{os.getpid():016x}.tmp"
    files: dict[Path, BinaryIO] = {}
    written = 0
    try:
        with ExitStack() as stack, open(temporary, "xb") as out:
            for item in items:
                expected = keys(item.id)
                places = [lines.get((item.id, view)) for view in range(len(expected))]
                for place in places if matches(places, item, expected) else ():
                    assert place is not None
                    if place.file not in files:
                        files[place.file] = stack.enter_context(open(place.file, "rb"))
                    files[place.file].seek(place.start)
                    out.write(files[place.file].readline())
                    written += 1
        os.replace(temporary, root / MANIFEST)
    finally:
        temporary.unlink(missing_ok=True)
    for part in parts(root):
        part.unlink()
    return written


def matches(places: Iterable[Place | None], item: Item, keys: Sequence[int]) -> bool:
    """Whether these are the lines of all views of an item, made from the same source with the same keys."""
    return all(
        place is not None and (place.source, place.key) == (item.source, key)
        for place, key in zip(places, keys, strict=True)
    )
