"""manifest.jsonl: one line per degraded image, written to one part per process and put in order at the end.

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
_JOINED = "manifest.part.jsonl"


class FileRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """Size and BLAKE2b checksum of a file of the data set; in a shard also where its content begins, bytes."""

    bytes: int
    blake2: str
    offset: int | None = None


class ShardRecord(msgspec.Struct, frozen=True):
    """The part of a shard that holds an image and all its views: file name, first byte, bytes, BLAKE2b checksum."""

    name: str
    start: int
    bytes: int
    blake2: str


class Line(msgspec.Struct, frozen=True):
    """A line of a manifest. Lines of version 0.1 have no checksums, and numbers for keys.

    Attributes:
        pixels: checksum of the source's pixels, before it was resized.
        files: sizes and checksums of "clean", "mask" and "degraded".
        shard: where they are; None for files.
        version, backend: of this package, and what computed the image. Where both are the same, so are the bytes.
    """

    id: str
    view: int
    source: str
    key: int | str
    parameters: msgspec.Raw
    pixels: str = ""
    files: dict[str, FileRecord] = {}
    shard: ShardRecord | None = None
    version: str = ""
    backend: str = ""

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
            "version": self.version,
            "backend": self.backend,
            "files": {name: msgspec.to_builtins(file) for name, file in self.files.items()},
        }
        if self.shard is not None:
            entry["shard"] = msgspec.to_builtins(self.shard)
        return f'{json.dumps(entry, ensure_ascii=False)[:-1]}, "parameters": {bytes(self.parameters).decode()}}}'

    def moved(self, name: str, start: int) -> Line:
        """The same line for an image whose part of a shard was put elsewhere."""
        assert self.shard is not None
        shift = start - self.shard.start
        files = {
            key: FileRecord(file.bytes, file.blake2, None if file.offset is None else file.offset + shift)
            for key, file in self.files.items()
        }
        shard = ShardRecord(name, start, self.shard.bytes, self.shard.blake2)
        return msgspec.structs.replace(self, files=files, shard=shard)


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
    """Every line of the data set in `root`, finished or not; of several for a view the one written last."""
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
    """The files of a run that has not ended, those of `join_parts` first."""
    return sorted(root.glob(_PARTS))


def join_parts(root: Path) -> None:
    """Put the parts of earlier runs into one that `index` reads first: lines of the next run replace theirs."""
    found = parts(root)
    joined = root / _JOINED
    if not found or found == [joined]:
        return
    temporary = root / f".{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "xb") as out:
            for part in found:
                with open(part, "rb") as file:
                    out.writelines(line for line in file if line.endswith(b"\n"))
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, joined)
    finally:
        temporary.unlink(missing_ok=True)
    for part in found:
        if part != joined:
            part.unlink()


@contextmanager
def open_part(root: Path, rank: int) -> Iterator[BinaryIO]:
    """The file that a process appends its lines to; the torn end of a line is cut off first."""
    with open(root / f"manifest.part{rank}.jsonl", "a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
        yield file


Named = Iterable[tuple[str, str]]
"""The images of a data set in order: id and source."""
Keys = Callable[[str], Sequence[int]]
"""From an id to the keys of its views."""


def in_order(root: Path, items: Named, keys: Keys) -> Iterator[list[bytes]]:
    """The lines of each image, with their ends. Images without a line for each view are left out."""
    lines = index(root)
    with ExitStack() as stack:
        files: dict[Path, BinaryIO] = {}
        for id_, source in items:
            found = []
            for place in matching(lines, id_, source, keys(id_)) or ():
                if place.file not in files:
                    files[place.file] = stack.enter_context(open(place.file, "rb"))
                files[place.file].seek(place.start)
                found.append(files[place.file].readline())
            if found:
                yield found


def finish(root: Path, lines: Iterable[bytes]) -> int:
    """Write the manifest. The parts are deleted once it is in place.

    Returns:
        the number of lines.
    """
    temporary = root / f".{secrets.token_hex(8)}.tmp"
    written = 0
    try:
        with open(temporary, "xb") as out:
            for line in lines:
                out.write(line)
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
