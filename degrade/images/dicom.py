"""DICOM images to samples, by pydicom (extra `dicom`): grey and color, compressed or not, one frame at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

from degrade.errors import ImageError
from degrade.images import codestream, grey
from degrade.images.grey import Window

__all__ = ["Window", "count_frames", "decode", "is_dicom", "is_unnamed"]

_DEFLATED = b"1.2.840.10008.1.2.1.99"
_PLUGINS = ("pylibjpeg", "pillow", "pydicom")  # of pydicom's, those that survive damaged files; in order of preference
_GREY = ("MONOCHROME1", "MONOCHROME2")
_COLOR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PALETTE = "PALETTE COLOR"
_NEEDED = ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation", "SamplesPerPixel")
_TAGS = (
    *_NEEDED,
    *("HighBit", "PixelRepresentation", "PlanarConfiguration", "NumberOfFrames"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "PresentationLUTSequence", "PresentationLUTShape"),
    *("WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *(f"{color}PaletteColorLookupTable{part}" for color in ("Red", "Green", "Blue") for part in ("Descriptor", "Data")),
    *(f"Segmented{color}PaletteColorLookupTableData" for color in ("Red", "Green", "Blue")),
)
"""The attributes that the pixel values pass through. Nothing else of a file's header is read."""
_PIXEL_TAGS = ("PixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths")


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins like this is DICOM: with the preamble, or at once with a data element.

    Without the preamble it begins with group 0002 or 0008, little or big endian, which no other image format does.
    """
    if head[128:132] == b"DICM":
        return True
    group, element = head[:2], head[2:4]
    little = group in (b"\x02\0", b"\x08\0") and len(head) >= 8 and element[1:] == b"\0" and element[0] <= 0x18
    big = group == b"\0\x08" and len(head) >= 8 and element[:1] == b"\0" and element[1] <= 0x18
    return little or big


def is_unnamed(path: Path) -> bool:
    """Whether a file without the suffix of a format is DICOM by its content, as files of archives are.

    Only names without a suffix, or with a number for one, as identifiers have, are looked into. A DICOMDIR is no image.
    """
    suffix = path.suffix[1:]
    if (suffix and not suffix.isdigit()) or path.name.upper() == "DICOMDIR":
        return False
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def count_frames(file: IO[bytes]) -> int:
    """How many frames an open DICOM file says it has, 1 at least; 1 too where that cannot be found out."""
    try:
        return _frames(_header(file), file)
    except Exception:  # what is the matter is told when the image is decoded
        return 1


def decode(
    file: IO[bytes], max_pixels: int, window: Window | None = None, frame: int | None = None
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """The samples of one frame of a DICOM file.

    Grey values go through the file's Modality LUT or its rescale slope and intercept; then all that the stored bits
    can hold (or the window, if asked for) is spread over the full scale; MONOCHROME1 is inverted, so that more is
    always brighter. Palettes and YBR become RGB.

    Args:
        file: open for reading bytes, seekable.
        max_pixels: the largest width x height accepted, compared with the headers before pixels are decoded.
        window: which grey values become black and white; None for all that can be stored. See `degrade.images.grey`.
        frame: which one, from 0; None where the file has only one.

    Returns:
        (H, W) uint8 for at most 8 stored bits, else uint16; (H, W, 3) for color.

    Raises:
        ImageError: no pydicom, no image in the file, too large, a frame that is missing, a compression for which
            nothing is installed, or an attribute that is missing, absurd, or of a kind not read.
    """
    header = _header(file)
    _check(header, max_pixels)
    count = _frames(header, file)
    if frame is None and count > 1:
        raise ImageError(f"a DICOM file of {count} frames: give frame = 0 to {count - 1}")
    if not 0 <= (frame or 0) < count:
        raise ImageError(f"frame {frame}: the DICOM file has {count}")
    samples = _pixels(file, header, frame or 0, count)
    kind = header.PhotometricInterpretation
    if kind == _PALETTE:
        return _through_palette(samples, header)
    if kind in _COLOR:
        return grey.full_scale(samples, int(header.BitsStored))
    return grey.levels(samples, header, frame or 0, window)


def _header(file: IO[bytes]) -> Dataset:
    """The attributes of `_TAGS`; TransferSyntaxUID is there afterwards, by pydicom's guess where the file has none."""
    try:
        from pydicom import dcmread
        from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
    except ModuleNotFoundError:
        raise ImageError("DICOM files need pydicom: pip install 'degrade-enhance[dicom]'") from None
    file.seek(0)
    if _DEFLATED in file.read(4096):  # before it is inflated, to whatever size
        raise ImageError("a deflated DICOM file: inflate it first, for example with dcmconv +te of dcmtk")
    file.seek(0)
    header = dcmread(file, force=True, stop_before_pixels=True, specific_tags=list(_TAGS))
    if not header.file_meta.get("TransferSyntaxUID"):
        implicit, little = header.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    return header


def _check(header: Dataset, max_pixels: int) -> None:
    for name in _NEEDED:
        if header.get(name) is None:
            raise ImageError(f"a DICOM file without an image ({name} is missing)")
    rows, columns = _whole(header, "Rows", 1, 65535), _whole(header, "Columns", 1, 65535)
    if rows * columns > max_pixels:
        raise ImageError(f"{columns} x {rows} pixels are more than max_pixels = {max_pixels}; raise it to read this")
    kind, samples = str(header.PhotometricInterpretation), _whole(header, "SamplesPerPixel", 1, 3)
    if kind not in (*_GREY, *_COLOR, _PALETTE):
        raise ImageError(f"PhotometricInterpretation = {kind}: read are {', '.join((*_GREY, *_COLOR, _PALETTE))}")
    if samples != (3 if kind in _COLOR else 1):
        raise ImageError(f"SamplesPerPixel = {samples} with PhotometricInterpretation = {kind}")
    allocated = _whole(header, "BitsAllocated", 1, 64)
    if allocated not in (1, 8, 16):
        raise ImageError(f"BitsAllocated = {allocated}: images of 1, 8 and 16 bits are read")
    stored = _whole(header, "BitsStored", 1, allocated)
    if header.get("HighBit") is not None:
        _whole(header, "HighBit", stored - 1, allocated - 1)
    if header.get("PixelRepresentation") is not None:
        _whole(header, "PixelRepresentation", 0, 1)
    if header.get("PresentationLUTSequence"):
        raise ImageError("PresentationLUTSequence: presentation tables are not applied here; remove it to read this")


def _whole(header: Dataset, name: str, low: int, high: int) -> int:
    """A whole number of the header within limits."""
    value = header.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ImageError(f"{name} = {value!r}: allowed is {low} to {high}" if low < high else f"{name} = {value!r}")
    return int(value)


def _frames(header: Dataset, file: IO[bytes]) -> int:
    """The number of frames, which the size of the file bounds."""
    value = header.get("NumberOfFrames")
    count = 1 if value in (None, "") else int(value)
    most = os.fstat(file.fileno()).st_size if _has_number(file) else file.seek(0, os.SEEK_END)
    if not 1 <= count <= max(most, 1):
        raise ImageError(f"NumberOfFrames = {count} in a file of {most} bytes")
    return count


def _has_number(file: IO[bytes]) -> bool:
    try:
        return file.fileno() >= 0
    except OSError:  # in memory
        return False


def _pixels(file: IO[bytes], header: Dataset, frame: int, count: int) -> NDArray[Any]:
    """One frame as pydicom decodes it: (H, W), or (H, W, 3) in RGB."""
    from pydicom import dcmread
    from pydicom.pixels.utils import pixel_array

    syntax = header.file_meta.TransferSyntaxUID
    options: dict[str, Any] = {"index": frame}
    source: Any = file
    file.seek(0)
    if syntax.is_encapsulated or count == 1:
        source = dcmread(file, force=True, specific_tags=[*_TAGS, *_PIXEL_TAGS])
        source.file_meta.TransferSyntaxUID = syntax
    else:  # only this frame is read
        options["transfer_syntax_uid"] = syntax
    if syntax.is_encapsulated:
        options["decoding_plugin"] = _plugin(syntax)
        codestream.check(source, frame, count)
    try:
        samples: NDArray[Any] = pixel_array(source, **options)
    except MemoryError:
        raise
    except Exception as error:  # decoders raise many kinds; the last line is the decoder's own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()
        raise ImageError(f"its pixels cannot be decoded ({syntax.name}): {reason}") from error
    samples = samples.astype(samples.dtype.newbyteorder("="), copy=False)
    expected = (header.Rows, header.Columns, 3)[: 3 if header.SamplesPerPixel == 3 else 2]
    if samples.shape != expected or samples.dtype.kind not in "ui" or samples.dtype.itemsize > 2:
        raise ImageError(f"its pixels are {samples.dtype} {samples.shape}, its header says {expected}")
    return samples


def _plugin(syntax: Any) -> str:
    """The name of pydicom's decoder to use for a compressed file."""
    from pydicom.pixels.decoders.base import get_decoder

    try:
        available = get_decoder(syntax).available_plugins
    except NotImplementedError:
        raise ImageError(f"a DICOM file compressed as {syntax.name}, which is not read") from None
    found = next((name for name in _PLUGINS if name in available), None)
    if found is None:
        raise ImageError(f"a DICOM file compressed as {syntax.name} needs pip install 'degrade-enhance[dicom]'")
    return found


def _through_palette(samples: NDArray[Any], header: Dataset) -> NDArray[Any]:
    from pydicom.pixels.processing import apply_color_lut

    try:
        colors = apply_color_lut(samples, header)
    except Exception as error:  # missing or damaged tables raise many kinds
        raise ImageError(f"its color palette cannot be read: {error}") from None
    bits = int(header.RedPaletteColorLookupTableDescriptor[2])
    return grey.full_scale(colors, min(bits, 8 * colors.dtype.itemsize))
