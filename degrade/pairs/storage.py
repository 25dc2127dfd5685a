"""Reading what the lines of a manifest name, from files or from shards: bytes, images, and what is damaged."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from degrade.images import image_io
from degrade.pairs import checksums
from degrade.pairs.layout import Layout, stays_inside
from degrade.pairs.manifest import FileRecord, Line, ShardRecord


class Checker:
    """Compares what lines of a manifest name with their sizes and checksums.

    A shard's part for one image is read once for all of its views, where their lines follow each other.

    Args:
        layout: of the data set.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._last: tuple[ShardRecord, bytes, bool, str] | None = None  # what was read last

    def damage(self, line: Line) -> str:
        """What is wrong with the files of a line; "" if they are whole."""
        return self._in_files(line) if line.shard is None else self._in_shard(line, line.shard)

    def _in_files(self, line: Line) -> str:
        for name, path in self._layout.files(line.id, line.view).items():
            expected = line.files.get(name)
            where = path.relative_to(self._layout.root).as_posix()
            try:
                size = path.stat().st_size
                if expected is None:
                    return f"{where}: the manifest has no checksum"
                if size != expected.bytes:
                    return f"{where}: {size} bytes instead of {expected.bytes}"
                if checksums.of_file(path) != expected.blake2:
                    return f"{where}: its content has changed"
            except FileNotFoundError:
                return f"{where}: missing"
            except OSError as error:
                return f"{where}: {error.strerror}"
        return ""

    def _in_shard(self, line: Line, shard: ShardRecord) -> str:
        where = f"shards/{shard.name}"
        if self._last is None or self._last[0] != shard:
            self._last = (shard, *self._block(shard))
        _, block, is_whole, problem = self._last
        if problem:
            return f"{where}: {problem} (image {line.id!r})"
        for name in ("clean", "mask", "degraded"):
            file = line.files.get(name)
            if file is None or file.offset is None:
                return f"{where}: the manifest has no checksum of {name!r} (image {line.id!r})"
            begin = max(file.offset - shard.start, 0)
            if checksums.of_bytes(block[begin : begin + file.bytes]) != file.blake2:
                return f"{where}: {self._layout.member(line.id, name, line.view)} has changed"
        if not is_whole:
            return f"{where}: its headers have changed (image {line.id!r})"
        return ""

    def _block(self, shard: ShardRecord) -> tuple[bytes, bool, str]:
        """A shard's part for one image, whether its checksum is right, and why it cannot be read."""
        try:
            block = _read(self._layout, shard, shard.start, shard.bytes)
        except FileNotFoundError:
            return b"", False, "missing"
        except OSError as error:
            return b"", False, error.strerror or str(error)
        except ValueError as error:
            return b"", False, str(error)
        return block, checksums.of_bytes(block) == shard.blake2, ""


def read(layout: Layout, line: Line, name: str) -> bytes:
    """The content of a file of a line.

    Args:
        layout: of the data set.
        line: of its manifest.
        name: "clean", "mask" or "degraded".

    Raises:
        OSError: the file or shard cannot be read.
        ValueError: the line names something outside its data set, or more than there is.
    """
    if line.shard is not None:
        file = line.files.get(name, FileRecord(0, ""))
        return _read(layout, line.shard, -1 if file.offset is None else file.offset, file.bytes)
    return path_of(layout, line, name).read_bytes()


def path_of(layout: Layout, line: Line, name: str) -> Path:
    """The file, or the shard, that holds a file of a line; ValueError where that lies outside the data set."""
    if not stays_inside(line.id):
        raise ValueError(f"the image {line.id!r} lies outside its data set {str(layout.root)!r}")
    return layout.files(line.id, line.view)[name] if line.shard is None else _shard(layout, line.shard)


def load(layout: Layout, line: Line, name: str, max_pixels: int = 100_000_000) -> Tensor:
    """A file of a line as an image, uint8 or uint16 (C, H, W).

    Raises:
        ImageError: it is no image.
        OSError, ValueError: as of `read`.
    """
    return image_io.read_bytes(read(layout, line, name), max_pixels)


def _shard(layout: Layout, shard: ShardRecord) -> Path:
    if not stays_inside(shard.name) or "/" in shard.name:
        raise ValueError(f"the shard {shard.name!r} lies outside its data set {str(layout.root)!r}")
    return layout.shard(shard.name)


def _read(layout: Layout, shard: ShardRecord, start: int, size: int) -> bytes:
    """Part of a shard."""
    path = _shard(layout, shard)
    there = path.stat().st_size
    if start < 0 or size < 0 or start + size > there:
        raise ValueError(f"{there} bytes instead of at least {start + size}")
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(size)
