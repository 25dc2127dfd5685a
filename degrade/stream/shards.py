"""WebDataset shards as a source: images in tar files, read in place and in any order."""

from __future__ import annotations

import os
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from degrade import image_io
from degrade.stream.files import make_ids
from degrade.stream.source import Sample, Source, SourceError, plane


@dataclass
class _Entry:
    """Where the files of one sample lie within a shard: offset and size by extension."""

    shard: int
    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)


class ShardSource(Source):
    """The samples of WebDataset tar files on this machine's file system.

    The files of a sample share a name up to the first dot: `left/a.png` is the image (the first one with an image
    suffix and nothing before it), `left/a.vessels.png` its map "vessels", `left/a.mask.png` its field of view; other
    files are passed over. Only the headers are read here. Nothing is ever unpacked to disk.

    Args:
        urls: paths, also with braces: "shards/{0000..0015}.tar".
        max_pixels: larger images are refused before they are decoded.

    Raises:
        ModuleNotFoundError: the package webdataset is not installed.
        SourceError: a shard is missing or no tar file, or there are no images.
    """

    def __init__(self, urls: str | list[str], max_pixels: int) -> None:
        try:
            from webdataset.shardlists import expand_urls
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "tar shards are read with the package webdataset: pip install 'degrade-enhance[webdataset]'"
            ) from None
        self._shards = [Path(url) for url in (expand_urls(urls) if isinstance(urls, str) else urls)]
        self._max_pixels = max_pixels
        self._entries = [entry for number, shard in enumerate(self._shards) for entry in _index(shard, number)]
        self.title = f"{len(self._shards)} shards ({os.fspath(self._shards[0])!r})"
        if not self._entries:
            raise SourceError(f"{self.title} hold no images")
        repeated = [key for key, count in Counter(entry.key for entry in self._entries).items() if count > 1]
        if repeated:
            raise SourceError(f"{self.title} hold {repeated[0]!r} more than once: names must be unique over all shards")
        self.ids = make_ids(f"{entry.key}.png" for entry in self._entries)

    def load(self, index: int) -> Sample:
        entry = self._entries[index]
        sample: Sample = {}
        with open(self._shards[entry.shard], "rb") as file:
            for name, (offset, size) in entry.members.items():
                file.seek(offset)
                image = image_io.read_bytes(file.read(size), self._max_pixels)
                sample[name] = image if name == "image" else plane(image, name)
        return sample

    def origin(self, index: int) -> str:
        entry = self._entries[index]
        return f"{self._shards[entry.shard].name}:{entry.key}"


def _index(shard: Path, number: int) -> list[_Entry]:
    """The samples of a shard that have an image."""
    from webdataset.tariterators import base_plus_ext

    entries: dict[str, _Entry] = {}
    try:
        with tarfile.open(shard, "r:") as archive:  # compressed shards cannot be read in any order
            for member in archive:
                key, extension = base_plus_ext(member.name)
                if key is None or not member.isreg():
                    continue
                entry = entries.setdefault(key, _Entry(number, key))
                name, _, suffix = f".{extension}".rpartition(".")
                if f".{suffix.lower()}" in image_io.IMAGE_SUFFIXES:
                    entry.members.setdefault(name.removeprefix(".") or "image", (member.offset_data, member.size))
    except (OSError, tarfile.TarError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SourceError(f"cannot read the shard {os.fspath(shard)!r}: {reason}") from None
    return [entry for entry in entries.values() if "image" in entry.members]
