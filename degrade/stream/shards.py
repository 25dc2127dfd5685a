"""WebDataset shards as a source: images in tar files, read in place and in any order."""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from degrade.images import image_io
from degrade.stream.files import make_ids
from degrade.stream.folders import LeftOut
from degrade.stream.source import Sample, Source, SourceError, plane

_WORD = re.compile(r"[A-Za-z_]\w*")
_VIEW = re.compile(r"degraded_v\d+")
"""Names of the degraded views in the shards of `degrade.pairs`."""


@dataclass
class _Entry:
    """Where the files of one sample lie within a shard: offset and size by name, "image" among them."""

    shard: int
    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class _Member:
    """A file of a shard: its name, the name without the suffix, offset and size; the suffix is an image's, or not."""

    name: str
    stem: str
    place: tuple[int, int]
    is_image: bool
    is_file: bool = True


class ShardSource(Source):
    """The samples of WebDataset tar files on this machine's file system.

    `left/a.png` is an image with the key `left/a`, `left/a.vessels.png` its map "vessels", `left/a.mask.png` its field
    of view. Names may have dots, as in `p3.2021.png`: what counts is

    - `KEY.NAME.png` is the map NAME of `KEY` where the same shard has `KEY` as an image and NAME is a word (letters,
      digits and underscores, no digit first)
    - where it has no such image, but NAME is a map of some other image, it is left out: a map without its image
    - `KEY.degraded_v0.png` and so on, degraded views that `degrade.pairs` wrote, are left out:
      `degrade.pairs.PairedDataset` reads them
    - any other name with the suffix of an image is an image, and its key is the name without the suffix

    Of several files that would be the same image or map the first counts. All that is left out, files without the
    suffix of an image included, is counted in `others`, hidden files apart. Only the headers are read here. Nothing is
    ever unpacked to disk.

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
        try:
            self._shards = [Path(url) for url in (expand_urls(urls) if isinstance(urls, str) else urls)]
        except (ValueError, AssertionError) as error:  # braces without an end, or a variable that is not set
            raise SourceError(f"cannot read the shards {urls!r}: {error}") from None
        self._max_pixels = max_pixels
        contents = [list(_members(shard)) for shard in self._shards]
        images = [_images(members) for members in contents]
        maps = set().union(*(_maps(members, keys) for members, keys in zip(contents, images, strict=True)))
        left_out = LeftOut()
        self._entries: list[_Entry] = []
        for number, (members, keys) in enumerate(zip(contents, images, strict=True)):
            prefix = f"{self._shards[number].name}:" if len(self._shards) > 1 else ""
            self._entries += _samples(members, keys, maps, number, left_out, prefix)
        self.others, self.left_out = left_out.count, left_out.names
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

    def file(self, index: int) -> Path:
        return self._shards[self._entries[index].shard]

    def origin(self, index: int) -> str:
        entry = self._entries[index]
        return f"{self._shards[entry.shard].name}:{entry.key}"


def _members(shard: Path) -> Iterator[_Member]:
    """The files of a shard in order, folders and hidden files apart."""
    try:
        if not stat.S_ISREG(os.stat(shard).st_mode):
            raise SourceError(f"cannot read the shard {os.fspath(shard)!r}: not a regular file")
        with tarfile.open(shard, "r:") as archive:  # compressed shards cannot be read in any order
            for member in archive:
                stem, suffix = os.path.splitext(member.name)
                if member.isdir() or os.path.basename(stem).startswith("."):
                    continue
                yield _Member(
                    member.name,
                    stem,
                    (member.offset_data, member.size),
                    is_image=suffix.lower() in image_io.IMAGE_SUFFIXES,
                    is_file=member.isreg() and not member.issparse(),
                )
    except (OSError, ValueError, tarfile.TarError) as error:
        if isinstance(error, SourceError):
            raise
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise SourceError(f"cannot read the shard {os.fspath(shard)!r}: {reason}") from None


def _split(stem: str) -> tuple[str, str]:
    """KEY and NAME of what could be a map; ("", "") where NAME is no word."""
    key, dot, name = stem.rpartition(".")
    return (key, name) if dot and "/" not in name and _WORD.fullmatch(name) else ("", "")


def _images(members: list[_Member]) -> set[str]:
    """The keys of a shard's images: the names that are no maps of images themselves."""
    keys: set[str] = set()
    for stem in sorted({member.stem for member in members if member.is_image and member.is_file}, key=len):
        if _split(stem)[0] not in keys:
            keys.add(stem)
    return keys


def _maps(members: list[_Member], keys: set[str]) -> set[str]:
    """The names that some image of a shard has a map of."""
    names = (_split(member.stem) for member in members if member.is_image and member.is_file)
    return {name for key, name in names if key in keys}


def _samples(
    members: list[_Member], keys: set[str], maps: set[str], number: int, left_out: LeftOut, prefix: str
) -> list[_Entry]:
    entries: dict[str, _Entry] = {}
    for member in members:
        key, name = _split(member.stem)
        if not member.is_file:
            left_out.add(prefix + member.name, "not a regular file")
        elif not member.is_image:
            left_out.add(prefix + member.name)
        elif key in keys and _VIEW.fullmatch(name):
            left_out.add(prefix + member.name, "a degraded view")
        elif name in maps and key not in keys:
            left_out.add(prefix + member.name, "a map without its image")
        else:
            key, name = (key, name) if key in keys else (member.stem, "image")
            entry = entries.setdefault(key, _Entry(number, key))
            if name in entry.members:
                left_out.add(prefix + member.name, "named again")
            else:
                entry.members[name] = member.place
    return list(entries.values())
