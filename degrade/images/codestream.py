"""The size that a compressed picture has of itself, read from its own header before it is decoded.

A decoder takes memory for the size in the codestream, whatever the file around it says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from degrade.errors import ImageError

if TYPE_CHECKING:
    from pydicom import Dataset

_FRAMES = frozenset([*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7])
"""Second bytes of the markers that begin a JPEG or JPEG-LS frame and hold its size."""


def check(dataset: Dataset, frame: int, count: int) -> None:
    """ImageError where a compressed frame of a DICOM data set is larger than Rows x Columns, or is not there."""
    from pydicom.encaps import get_frame

    if "PixelData" not in dataset:
        raise ImageError("a DICOM file without pixel data")
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    try:
        data = get_frame(dataset.PixelData, frame, extended_offsets=offsets, number_of_frames=count)
    except Exception as error:  # struct.error and others, from damaged items
        raise ImageError(f"its compressed pixels are damaged: {error}") from error
    size = size_of(data)
    if size is not None and (size[0] > dataset.Columns or size[1] > dataset.Rows):
        raise ImageError(
            f"its compressed picture is {size[0]} x {size[1]} pixels, the header says "
            f"{dataset.Columns} x {dataset.Rows}"
        )


def size_of(data: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG, JPEG-LS or JPEG 2000 codestream; None for anything else.

    >>> size_of(bytes.fromhex("ffd8 ffc0 0011 08 0020 0040 03"))
    (64, 32)
    """
    if data[:2] == b"\xff\xd8":
        return _jpeg_size(data)
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)  # behind the boxes of a JP2 file, if there are any
    if start < 0 or len(data) < start + 24:
        return None
    right, bottom, left, top = (int.from_bytes(data[start + 8 + 4 * i : start + 12 + 4 * i], "big") for i in range(4))
    return right - left, bottom - top


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(data):
        if data[place] != 0xFF:
            return None
        marker = data[place + 1]
        if marker in _FRAMES:
            return int.from_bytes(data[place + 7 : place + 9], "big"), int.from_bytes(
                data[place + 5 : place + 7], "big"
            )
        if marker == 0xFF:  # a fill byte
            place += 1
            continue
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD8
        place += 2 if alone else 2 + max(int.from_bytes(data[place + 2 : place + 4], "big"), 2)
    return None
