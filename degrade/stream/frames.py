"""DICOM files of several frames: each frame is an image of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from degrade.images import dicom, image_io

_MOST = 2**16
"""Largest number of frames of a file; a file with more is taken as one image, which fails when it is read."""

_HEAD = 132


def with_frames(paths: Iterable[Path]) -> Iterator[tuple[Path, int | None]]:
    """Pairs of path and frame number; the number is None for files of one image.

    Only files named as DICOM, or as nothing known, are looked into, and of these only the header is read.
    """
    for path in paths:
        count = _count(path)
        if 1 < count <= _MOST:
            yield from ((path, frame) for frame in range(count))
        else:
            yield path, None


def frame_name(name: str, frame: int) -> str:
    """Name of a frame as if it were a file of its own.

    >>> frame_name("left/scan.dcm", 3)
    'left/scan_f003.dcm'
    """
    path = PurePosixPath(name)
    suffix = path.suffix if path.suffix.lower() in image_io.IMAGE_SUFFIXES else ""
    return f"{name.removesuffix(suffix)}_f{frame:03d}{suffix}"


def _count(path: Path) -> int:
    suffix = path.suffix.lower()
    if suffix != ".dcm" and suffix in image_io.IMAGE_SUFFIXES:
        return 1
    try:
        if not path.is_file():
            return 1
        with open(path, "rb") as file:
            return dicom.count_frames(file) if dicom.is_dicom(file.read(_HEAD)) else 1
    except (OSError, ValueError):  # the error is reported when it is read
        return 1
