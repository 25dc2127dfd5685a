"""Results as DICOM: secondary captures with identifiers of their own, and without a patient unless asked for."""

from __future__ import annotations

import io
from hashlib import blake2b
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from degrade.errors import ImageError

if TYPE_CHECKING:
    from pydicom import Dataset

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_PATIENT = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex", "PatientAge"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID", "StudyDescription", "AccessionNumber"),
    *("ReferringPhysicianName", "Laterality", "ImageLaterality", "BodyPartExamined", "ViewPosition"),
)
"""What says whose image it is, and of what study: kept only where that is asked for."""
_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "PatientOrientation"),
)
"""Attributes that every image has, though nothing may be in them."""
_LONGEST = 1024  # characters of a derivation's description


def encode(image: Tensor, derivation: str, id_: str, original: IO[bytes] | None = None) -> bytes:
    """The bytes of a DICOM file with an image that was computed.

    A Secondary Capture Image, derived, uncompressed. Its identifiers are new, and follow from the pixels, the id and
    the derivation alone, so that the same command gives the same bytes.

    Args:
        image: uint8 or uint16 (C, H, W), C = 1 (grey, more is brighter) or 3 (RGB), on any device.
        derivation: how it was made, for DerivationDescription.
        id_: of the image.
        original: the DICOM file that it was made from, whose patient and study are to be kept; without it there is no
            patient, the study is new, and PatientIdentityRemoved says so.

    Raises:
        ValueError: another shape, 16-bit color, or more than 65,535 pixels a side.
        TypeError: another type.
        ImageError: pydicom is not installed, or `original` is no DICOM file.
    """
    try:
        from pydicom.dataset import FileDataset, FileMetaDataset
        from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid
    except ModuleNotFoundError:
        raise ImageError("DICOM files need pydicom: pip install 'degrade-enhance[dicom]'") from None
    if image.dtype not in (torch.uint8, torch.uint16):
        raise TypeError(f"image must be uint8 or uint16, got {image.dtype}: see to_integer")
    if image.ndim != 3 or image.shape[0] not in (1, 3) or not 0 < max(image.shape) < 2**16 or 0 in image.shape:
        raise ValueError(f"image must be (C, H, W) with C = 1 or 3 and at most 65,535 pixels a side; got {image.shape}")
    samples = np.ascontiguousarray(image.cpu().numpy().transpose(1, 2, 0))
    digest = blake2b(samples.tobytes() + f"{samples.shape}{id_}{derivation}".encode(), digest_size=16).hexdigest()

    def uid(level: str) -> UID:
        return generate_uid(entropy_srcs=[level, digest])

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UID(_SECONDARY_CAPTURE), uid("image")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.SpecificCharacterSet, made.Modality, made.ConversionType = "ISO_IR 192", "OT", "WSD"
    for name in _EMPTY:
        setattr(made, name, "")
    made.StudyInstanceUID, made.SeriesInstanceUID = uid("study"), uid("series")
    made.SeriesNumber, made.InstanceNumber = 1, 1
    made.ImageType, made.DerivationDescription = ["DERIVED", "SECONDARY"], derivation[:_LONGEST]
    if original is None:
        made.PatientIdentityRemoved, made.DeidentificationMethod = "YES", "no attribute of the original was copied"
    else:
        _keep_patient(made, original)
    _set_pixels(made, samples)
    buffer = io.BytesIO()
    made.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def patient(file: IO[bytes]) -> str | None:
    """The PatientID of an open DICOM file; None where it has none, is none, or cannot be read.

    Raises:
        ImageError: pydicom is not installed.
    """
    try:
        found = _header(file, ["PatientID"]).get("PatientID")
    except ImageError:
        raise
    except Exception:
        return None
    return str(found) if found else None


def _header(file: IO[bytes], names: list[str]) -> Dataset:
    try:
        from pydicom import dcmread
    except ModuleNotFoundError:
        raise ImageError("DICOM files need pydicom: pip install 'degrade-enhance[dicom]'") from None
    file.seek(0)
    return dcmread(file, stop_before_pixels=True, specific_tags=list(names))


def _keep_patient(made: Any, original: IO[bytes]) -> None:
    """Copy patient and study, and name the original."""
    from pydicom import Dataset

    try:
        header = _header(original, [*_PATIENT, "SOPClassUID", "SOPInstanceUID", "SpecificCharacterSet"])
    except Exception as error:
        raise ImageError(f"the original is no DICOM file: its patient cannot be kept ({error})") from None
    for name in _PATIENT:
        if (value := header.get(name)) is not None:
            setattr(made, name, value)
    if header.get("SOPClassUID") and header.get("SOPInstanceUID"):
        source = Dataset()
        source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
        made.SourceImageSequence = [source]


def _set_pixels(made: Any, samples: np.ndarray[Any, Any]) -> None:
    height, width, channels = samples.shape
    bits = 8 * samples.dtype.itemsize
    if channels == 3 and bits == 16:
        raise ValueError("DICOM holds color of 8 bits: use png, or to_integer(..., bits=8)")
    made.Rows, made.Columns, made.SamplesPerPixel = height, width, channels
    made.PhotometricInterpretation = "MONOCHROME2" if channels == 1 else "RGB"
    if channels == 3:
        made.PlanarConfiguration = 0
    made.BitsAllocated, made.BitsStored, made.HighBit, made.PixelRepresentation = bits, bits, bits - 1, 0
    data = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    made.PixelData = data + b"\0" * (len(data) % 2)
    made["PixelData"].VR = "OW" if bits == 16 else "OB"
