"""DICOM images to samples: single, uncompressed frames, by pydicom (extra `dicom`)."""

from __future__ import annotations

import math
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

from degrade.errors import ImageError

Window = Literal["file"] | tuple[float, float]
"""Grey values shown from black to white: the file's own window, or (center, width) in rescaled units."""


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins like this is DICOM."""
    return head[128:132] == b"DICM"


def decode(file: IO[bytes], max_pixels: int, window: Window | None = None) -> NDArray[Any]:
    """The samples of a DICOM file.

    Stored values are rescaled by slope and intercept, and what the stored bits can hold (or the window, if asked for)
    is spread over the full scale; MONOCHROME1 is turned round, so that more is always brighter.

    Args:
        file: open for reading bytes, seekable, at its start.
        max_pixels: the largest width x height accepted, compared with the header before the pixels are read.
        window: which grey values become black and white; None for all that can be stored.

    Returns:
        (H, W) uint8 for at most 8 stored bits, else uint16; (H, W, 3) uint8 for RGB.

    Raises:
        ImageError: no pydicom, no image in the file, too large, several frames, compressed, or of a kind not read.
    """
    try:
        from pydicom import dcmread
    except ModuleNotFoundError:
        raise ImageError("DICOM files need pydicom: pip install degrade-enhance[dicom]") from None
    header = dcmread(file, stop_before_pixels=True)
    _check(header, max_pixels)
    file.seek(0)
    dataset = dcmread(file)
    if "PixelData" not in dataset:
        raise ImageError("a DICOM file without pixel data")
    needed = header.Rows * header.Columns * header.SamplesPerPixel * header.BitsAllocated // 8
    if len(dataset.PixelData) < needed:
        raise ImageError(f"truncated: {len(dataset.PixelData)} of {needed} bytes of pixel data")
    samples: NDArray[Any] = dataset.pixel_array
    return samples if header.SamplesPerPixel == 3 else _grey(dataset, samples, window)


def _check(header: Dataset, max_pixels: int) -> None:
    for name in ("Rows", "Columns", "BitsAllocated", "BitsStored", "PhotometricInterpretation", "SamplesPerPixel"):
        if name not in header:
            raise ImageError(f"a DICOM file without an image ({name} is missing)")
    if header.Rows * header.Columns > max_pixels:
        raise ImageError(
            f"{header.Columns} x {header.Rows} pixels are more than max_pixels = {max_pixels}; raise it to read this"
        )
    if (frames := int(header.get("NumberOfFrames") or 1)) > 1:
        raise ImageError(
            f"a DICOM file of {frames} frames: only single frames are read; "
            "split it first, for example with dcm2img of dcmtk (apt install dcmtk)"
        )
    syntax = header.file_meta.TransferSyntaxUID
    if syntax.is_compressed or syntax.is_deflated:
        raise ImageError(
            f"a DICOM file compressed as {syntax.name}: only uncompressed ones are read; "
            "decompress it first, for example with gdcmconv --raw (apt install libgdcm-tools)"
        )
    kind = (header.PhotometricInterpretation, header.SamplesPerPixel, header.BitsAllocated)
    if kind not in {
        *((mono, 1, bits) for mono in ("MONOCHROME1", "MONOCHROME2") for bits in (8, 16)),
        ("RGB", 3, 8),
    }:
        raise ImageError(f"a DICOM image of kind {kind[0]}, {kind[1]} x {kind[2]} bits: grey and 8-bit RGB are read")
    if not 1 <= header.BitsStored <= header.BitsAllocated:
        raise ImageError(f"BitsStored = {header.BitsStored} in {header.BitsAllocated} bits")


def _grey(dataset: Dataset, samples: NDArray[Any], window: Window | None) -> NDArray[Any]:
    bits = int(dataset.BitsStored)
    shift = int(dataset.get("HighBit", bits - 1)) + 1 - bits
    stored = (samples.astype(np.int64) >> shift) & ((1 << bits) - 1)
    low, high = 0, (1 << bits) - 1
    if dataset.get("PixelRepresentation", 0):
        half = 1 << (bits - 1)
        stored = (stored ^ half) - half  # the sign bit is the highest stored one
        low, high = -half, half - 1
    slope, intercept = float(dataset.get("RescaleSlope", 1)), float(dataset.get("RescaleIntercept", 0))
    if not (math.isfinite(slope) and math.isfinite(intercept)) or slope == 0:
        raise ImageError(f"RescaleSlope = {slope}, RescaleIntercept = {intercept}")
    black, white = sorted((low * slope + intercept, high * slope + intercept))
    if window is not None:
        center, width = _window(dataset) if window == "file" else window
        if not width >= 1:
            raise ImageError(f"window width = {width}: at least 1")
        # DICOM PS3.3, C.11.2.1.2.1: the linear function, without its steps at a width of 1
        black = center - 0.5 - (width - 1) / 2
        white = black + max(width - 1, 1e-6)
    level = np.clip((stored * slope + intercept - black) / (white - black), 0, 1)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        level = 1 - level
    whole: NDArray[Any] = (level * (255 if bits <= 8 else 65535)).round()
    return whole.astype(np.uint8 if bits <= 8 else np.uint16)


def _window(dataset: Dataset) -> tuple[float, float]:
    if "WindowCenter" not in dataset or "WindowWidth" not in dataset:
        raise ImageError("the file has no window of its own: give its center and width")
    center, width = (np.atleast_1d(np.asarray(dataset[name].value, dtype=np.float64)) for name in _WINDOW)
    return float(center[0]), float(width[0])


_WINDOW = ("WindowCenter", "WindowWidth")
