"""The bytes of a tar file: members whose headers hold no time, user or anything else that changes between runs."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable

RECORD = 512
"""Headers and contents begin at multiples of so many bytes."""

TRAILER = bytes(2 * RECORD)
"""The end of a tar file."""


def member_key(id_: str) -> str:
    """The key of an image in a shard, from its id: dots and percent signs of the last part as in URLs.

    WebDataset ends a key at the first dot after the last slash.

    >>> member_key("left/drive_01"), member_key("a.b/p3.2021")
    ('left/drive_01', 'a.b/p3%2E2021')
    """
    folder, slash, name = id_.rpartition("/")
    return folder + slash + name.replace("%", "%25").replace(".", "%2E")


def pack(members: Iterable[tuple[str, bytes]]) -> tuple[bytes, dict[str, int]]:
    """Members of a tar file, one after another, without the trailer.

    Args:
        members: names and contents.

    Returns:
        the bytes, and where the content of each member begins in them.
    """
    parts: list[bytes] = []
    offsets: dict[str, int] = {}
    end = 0
    for name, content in members:
        header = _header(name, len(content))
        padding = bytes(-len(content) % RECORD)
        offsets[name] = end + len(header)
        end += len(header) + len(content) + len(padding)
        parts += [header, content, padding]
    return b"".join(parts), offsets


def _header(name: str, size: int) -> bytes:
    """The header of a file: POSIX ustar, with a pax header in front where the name is long or not ASCII."""
    info = tarfile.TarInfo(name)  # its time, user and group are 0 and ""
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
