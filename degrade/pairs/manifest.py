"""manifest.jsonl: a line per degraded image, written to a part per process and put in order at the end.

Keys are written as text: they have 64 bits, and programs that read numbers as float64 round beyond 2**53.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from degrade.pairs.layout import MANIFEST
from degrade.text import LARGEST_LINE, TextError, parse_json

_PARTS = "manifest.part*.jsonl"


class FileRecord(msgspec.Struct, frozen=True):
    """What a file of the data set must be: its size, and its BLAKE2b checksum."""

    bytes: int
    blake2: str


class Line(msgspec.Struct, frozen=True):
    """A line of a manifest. Lines of version 0.1 have no checksums, and numbers for keys.

    Attributes:
        pixels: checksum of the source's pixels, before it was resized.
        files: what "clean", "mask" and "degraded" must be.
    """

    id: str
    view: int
    source: str
    key: int | str
    parameters: msgspec.Raw
    pixels: str = ""
    files: dict[str, FileRecord] = {}

    @property
    def number(self) -> int:
        """The key."""
        return int(self.key)

    def record(self) -> dict[str, Any]:
        """The parameters; TextError where they are no JSON object."""
        return parse_json(bytes(self.parameters), dict[str, Any])

    def encode(self) -> str:
        """The line as text, without its end."""
        entry = {
            "id": self.id,
            "view": self.view,
            "source": self.source,
            "key": str(self.key),
            "pixels": self.pixels,
            "files": {name: {"bytes": file.bytes, "blake2": file.blake2} for name, file in self.files.items()},
        }
        return f'{json.dumps(entry, ensure_ascii=False)[:-1]}, "parameters": {bytes(self.parameters).decode()}}}'


class Place(NamedTuple):
    """Where a line lies, and what tells whether it belongs to an item."""

    file: Path
    start: int
    source: str
    key: int


Index = dict[tuple[str, int], Place]
"""The lines of a data set by id and view."""


def pack(record: dict[str, Any]) -> msgspec.Raw:
    """Parameters as a line holds them."""
    return msgspec.Raw(json.dumps(record, ensure_ascii=False, allow_nan=False).encode())


_DECODER = msgspec.json.Decoder(Line)


def parse(raw: bytes) -> Line:
    """One line; TextError where it is none."""
    try:
        line = _DECODER.decode(raw)
        if not -(2**63) <= line.number < 2**63:
            raise TextError(f"key {line.number}: beyond 64 bits")
    except msgspec.MsgspecError as error:
        raise TextError(f"no line of a manifest: {error}") from None
    except RecursionError:
        raise TextError("no line of a manifest: nested too deeply") from None
    except ValueError as error:
        raise TextError(f"no line of a manifest: {str(error).splitlines()[0][:200]}") from None
    return line


def read(path: Path) -> Iterator[tuple[int, Line]]:
    """The whole lines of a file, each with its place; what a killed process left of a line is passed over."""
    for start, _, raw in lines_of(path):
        try:
            yield start, parse(raw)
        except TextError:
            continue


def lines_of(path: Path) -> Iterator[tuple[int, int, bytes]]:
    """Place, number (from 1) and bytes of the lines that end; of lines that are too long only the beginning."""
    with open(path, "rb") as file:
        start, number = 0, 0
        while raw := file.readline(LARGEST_LINE):
            number += 1
            whole = raw
            while not whole.endswith(b"\n") and (whole := file.readline(LARGEST_LINE)):
                pass
            if whole.endswith(b"\n"):
                yield start, number, raw
            start = file.tell()


def index(root: Path) -> Index:
    """Every line of the data set in `root`, finished or not."""
    found: Index = {}
    for file in [root / MANIFEST, *parts(root)]:
        if file.exists():
            for start, line in read(file):
                found[line.id, line.view] = Place(file, start, line.source, line.number)
    return found


def at(place: Place) -> Line:
    """The line at a place."""
    with open(place.file, "rb") as file:
        file.seek(place.start)
        return parse(file.readline(LARGEST_LINE))


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


def merge(root: Path, items: Iterable[tuple[str, str]], keys: Callable[[str], Sequence[int]]) -> int:
    """Write the manifest in the order of `items` (id, source), with the keys of the views of each.

    Items without a line for each view are left out. The parts are deleted once the manifest is in place.

    Returns:
        the number of lines.
    """
    lines = index(root)
    temporary = root / f".{secrets.token_hex(8)}.tmp"
    files: dict[Path, BinaryIO] = {}
    written = 0
    try:
        with ExitStack() as stack, open(temporary, "xb") as out:
            for id_, source in items:
                places = matching(lines, id_, source, keys(id_))
                for place in places or ():
                    if place.file not in files:
                        files[place.file] = stack.enter_context(open(place.file, "rb"))
                    files[place.file].seek(place.start)
                    out.write(files[place.file].readline())
                    written += 1
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, root / MANIFEST)
    finally:
        temporary.unlink(missing_ok=True)
    for part in parts(root):
        part.unlink()
    return written


def matching(lines: Index, id_: str, source: str, keys: Sequence[int]) -> list[Place] | None:
    """The lines of all views of an image, if they were made from the same source with the same keys."""
    places = [lines.get((id_, view)) for view in range(len(keys))]
    found = [place for place in places if place is not None]
    same = all((place.source, place.key) == (source, key) for place, key in zip(found, keys, strict=False))
    return found if same and len(found) == len(keys) else None
