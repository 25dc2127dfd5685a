"""Cutting the spools of all processes, and the shards of an earlier run, into the shards of a data set."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from degrade.pairs import manifest
from degrade.pairs.errors import PairsError
from degrade.pairs.layout import Layout
from degrade.pairs.manifest import Line, ShardRecord
from degrade.pairs.tar import TRAILER

_SPOOL = re.compile(r"\.spool-(\d+)-(\d+)\.tar")
_SHARD = re.compile(r"\d{6,}\.tar")
_STEP = 1 << 20


def spool_name(rank: int, number: int) -> str:
    """The name of a spool of a process."""
    return f".spool-{rank}-{number}.tar"


def spool_number(name: str, rank: int) -> int:
    """The number of a spool of this process; -1 for any other file."""
    match = _SPOOL.fullmatch(name)
    return int(match[2]) if match and int(match[1]) == rank else -1


def shard_name(number: int) -> str:
    """The name of a shard."""
    return f"{number:06d}.tar"


@dataclass
class _Shard:
    """A shard to be: the lines of its images, and its bytes without the trailer."""

    number: int
    images: list[list[Line]] = field(default_factory=list)
    size: int = 0

    @property
    def name(self) -> str:
        return shard_name(self.number)

    def parts(self) -> Iterator[ShardRecord]:
        """Where the images are now."""
        for lines in self.images:
            assert lines[0].shard is not None
            yield lines[0].shard

    def lines(self) -> Iterator[bytes]:
        """The lines of the manifest, with their ends."""
        start = 0
        for lines, part in zip(self.images, self.parts(), strict=True):
            for line in lines:
                yield f"{line.moved(self.name, start).encode()}\n".encode("utf-8", "replace")
            start += part.bytes


def cut(layout: Layout, items: manifest.Named, keys: manifest.Keys, shard_size: int) -> int:
    """Write all shards and the manifest, and delete the spools.

    A process killed before the end of this leaves everything that it needs to be done again, except within the moment
    in which files are renamed: what the manifest then does not name is made again.

    Args:
        layout: of the data set.
        items: the images in order.
        keys: of the views of each.
        shard_size: the largest shard, bytes; an image that is larger has one of its own.

    Returns:
        the number of lines of the manifest.

    Raises:
        PairsError: a spool has changed since it was written.
        OSError: the disk is full, or cannot be written to.
    """
    folder = layout.shard("")
    folder.mkdir(parents=True, exist_ok=True)
    text = folder.parent / f".{secrets.token_hex(8)}.tmp"
    ready: dict[str, Path] = {}
    copies: list[Path] = []
    try:
        with open(text, "xb") as out:
            for shard in _plan(layout.root, items, keys, shard_size):
                same = _same(folder, shard)
                if same is None:
                    copies.append(_copy(folder, shard))
                ready[shard.name] = same or copies[-1]
                out.writelines(shard.lines())
        copies = []
        _rename(folder, ready)
        with open(text, "rb") as file:
            count = manifest.finish(layout.root, file)
    finally:
        for path in (text, *copies):
            path.unlink(missing_ok=True)
    for name in os.listdir(folder):
        if _SPOOL.fullmatch(name) or (_SHARD.fullmatch(name) and name not in ready):
            (folder / name).unlink()
    return count


def _plan(root: Path, items: manifest.Named, keys: manifest.Keys, shard_size: int) -> Iterator[_Shard]:
    """The shards, one at a time: as many images as fit into each."""
    shard = _Shard(0)
    for raw in manifest.in_order(root, items, keys):
        lines = [manifest.parse(line) for line in raw]
        part = lines[0].shard
        if part is None or any(line.shard != part for line in lines):
            continue  # no lines of this writer
        if shard.images and shard.size + part.bytes + len(TRAILER) > shard_size:
            yield shard
            shard = _Shard(shard.number + 1)
        shard.images.append(lines)
        shard.size += part.bytes
    if shard.images:
        yield shard


def _same(folder: Path, shard: _Shard) -> Path | None:
    """The file that is this shard already, by its parts and its size."""
    end = 0
    names = set()
    for part in shard.parts():
        if part.start != end:
            return None
        end += part.bytes
        names.add(part.name)
    if len(names) != 1:
        return None
    path = folder / names.pop()
    if not path.is_file() or path.stat().st_size != end + len(TRAILER):
        return None
    with open(path, "rb") as file:
        file.seek(end)
        return path if file.read() == TRAILER else None


def _copy(folder: Path, shard: _Shard) -> Path:
    """Write a shard to a hidden file."""
    path = folder / f".{secrets.token_hex(8)}.tmp"
    sources: dict[str, BinaryIO] = {}
    try:
        with ExitStack() as stack, open(path, "xb") as out:
            for part in shard.parts():
                if part.name not in sources:
                    sources[part.name] = stack.enter_context(open(folder / part.name, "rb"))
                _copy_part(sources[part.name], part, out)
            out.write(TRAILER)
            out.flush()
            os.fsync(out.fileno())
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return path


def _copy_part(source: BinaryIO, part: ShardRecord, out: BinaryIO) -> None:
    digest = hashlib.blake2b(digest_size=16)
    source.seek(part.start)
    left = part.bytes
    while left and (block := source.read(min(left, _STEP))):
        digest.update(block)
        out.write(block)
        left -= len(block)
    if digest.hexdigest() != part.blake2:
        raise PairsError("DEST", f"{source.name!r} has changed since this run wrote it: --resume makes it again")


def _rename(folder: Path, ready: dict[str, Path]) -> None:
    """Give all shards their names; those that exchange names go by way of hidden ones."""
    for name, path in ready.items():
        if path.name != name and not path.name.startswith("."):
            ready[name] = path.rename(folder / f".{secrets.token_hex(8)}.tmp")
    for name, path in ready.items():
        if path.name != name:
            os.replace(path, folder / name)
