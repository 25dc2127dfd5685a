"""Writing a paired data set as WebDataset shards: spools of each process, put in order and cut at the end.

Each process appends its samples, as parts of tar files, to spools of its own. At the end the first process cuts all
samples, in the order of the source, into shards: a spool that happens to be one (always so for one process that was not
interrupted) is renamed, everything else is copied. So the bytes of the shards depend on neither processes nor
interruptions.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from degrade.pairs import checksums, manifest
from degrade.pairs.cutting import cut, spool_name, spool_number
from degrade.pairs.layout import Layout
from degrade.pairs.manifest import FileRecord, Line, ShardRecord
from degrade.pairs.tar import TRAILER, pack
from degrade.pairs.writing import Sample, Staged, Writer

SHARD_SIZE = 512 * 2**20
"""Default of `shard_size`, bytes."""

SMALLEST_SHARD = 2**14
"""Smallest `shard_size` that is allowed, bytes."""


class ShardWriter(Writer):
    """Writes samples into shards.

    A sample with the id `left/a` has the members left/a.png (clean), left/a.mask.png, left/a.degraded_v0.png, ... and
    left/a.json (id, source, pixels, and of each view key and parameters).

    Args:
        layout: of the data set.
        rank: number of this process.
        shard_size: the largest shard, bytes; a sample that is larger has a shard of its own.
    """

    def __init__(self, layout: Layout, rank: int, shard_size: int) -> None:
        self._layout, self._rank, self._shard_size = layout, rank, shard_size
        self._folder = layout.shard("")
        self._file: BinaryIO | None = None
        self._size = 0

    def stage(self, sample: Sample) -> Staged:
        member = self._layout.member
        try:
            about = _about(sample).encode()
        except UnicodeEncodeError:
            raise ValueError("its name has characters that are not Unicode") from None
        names = [member(sample.id, "degraded", view) for view in range(len(sample.degraded))]
        clean, mask = member(sample.id, "clean"), member(sample.id, "mask")
        contents = [(clean, sample.clean), (mask, sample.mask), *zip(names, sample.degraded, strict=True)]
        block, offsets = pack([*contents, (member(sample.id, "json"), about)])
        shard = ShardRecord("", 0, len(block), checksums.of_bytes(block))
        places = [{"clean": offsets[clean], "mask": offsets[mask], "degraded": offsets[name]} for name in names]
        return Staged([_placed(line, shard, place) for line, place in zip(sample.lines, places, strict=True)], block)

    def commit(self, staged: Staged) -> list[Line]:
        block = staged.block
        if self._file is not None and self._size + len(block) + len(TRAILER) > self._shard_size:
            self.close()
        file = self._file = self._file or self._open()
        start = self._size
        file.write(block)
        file.flush()
        os.fsync(file.fileno())
        self._size += len(block)
        return [line.moved(Path(file.name).name, start) for line in staged.lines]

    def close(self) -> None:
        if self._file is not None:
            with self._file as file:
                file.write(TRAILER)
                file.flush()
                os.fsync(file.fileno())
            self._file, self._size = None, 0

    def finish(self, items: manifest.Named, keys: manifest.Keys) -> int:
        return cut(self._layout, items, keys, self._shard_size)

    def _open(self) -> BinaryIO:
        self._folder.mkdir(parents=True, exist_ok=True)
        last = max((spool_number(name, self._rank) for name in os.listdir(self._folder)), default=-1)
        return open(self._folder / spool_name(self._rank, last + 1), "xb")


def _about(sample: Sample) -> str:
    """The JSON member of a sample."""
    first = sample.lines[0]
    views = (
        f'{{"view": {line.view}, "key": "{line.key}", "parameters": {bytes(line.parameters).decode()}}}'
        for line in sample.lines
    )
    head = json.dumps({"id": sample.id, "source": first.source, "pixels": first.pixels}, ensure_ascii=False)
    return f'{head[:-1]}, "views": [{", ".join(views)}]}}'


def _placed(line: Line, shard: ShardRecord, offsets: dict[str, int]) -> Line:
    files = {name: FileRecord(file.bytes, file.blake2, offsets[name]) for name, file in line.files.items()}
    return msgspec.structs.replace(line, files=files, shard=shard)
