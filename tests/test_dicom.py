"""DICOM: bit depths, signs, rescaling, windows, inversion, and what is refused by name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from degrade import image_io

pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless  # noqa: E402


def dicom(path: Path, pixels: np.ndarray, bits: int = 12, **tags: Any) -> Path:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = tags.pop("TransferSyntaxUID", ExplicitVRLittleEndian)
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    dataset.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW" if dataset.BitsAllocated == 16 else "OB"
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


RAMP = np.linspace(0, 4095, 40 * 32).astype(np.uint16).reshape(32, 40)


def test_twelve_bits_span_the_full_scale(tmp_path: Path) -> None:
    image = image_io.read(dicom(tmp_path / "a.dcm", RAMP))
    assert image.shape == (1, 32, 40)
    assert np.array_equal(image[0].numpy(), (RAMP / 4095 * 65535).round().astype(np.uint16))


def test_eight_bits_stay_eight(tmp_path: Path) -> None:
    pixels = (RAMP // 16).astype(np.uint8)
    assert np.array_equal(image_io.read(dicom(tmp_path / "a.dcm", pixels, bits=8))[0].numpy(), pixels)


def test_signed_values_and_bits_beyond_the_stored_ones(tmp_path: Path) -> None:
    signed = RAMP.astype(np.int16) - 2048
    expected = image_io.read(dicom(tmp_path / "a.dcm", RAMP))
    assert np.array_equal(image_io.read(dicom(tmp_path / "b.dcm", signed)).numpy(), expected.numpy())
    dirty = RAMP | np.uint16(0xF000)  # overlays live in the bits above
    assert np.array_equal(image_io.read(dicom(tmp_path / "c.dcm", dirty)).numpy(), expected.numpy())


def test_monochrome1_is_turned_round(tmp_path: Path) -> None:
    plain = image_io.read(dicom(tmp_path / "a.dcm", RAMP)).numpy().astype(int)
    turned = image_io.read(dicom(tmp_path / "b.dcm", RAMP, PhotometricInterpretation="MONOCHROME1"))
    assert np.abs(65535 - plain - turned.numpy()).max() <= 1


def test_windows_are_in_rescaled_units(tmp_path: Path) -> None:
    tags = {"RescaleSlope": 2, "RescaleIntercept": -1000, "WindowCenter": [1000, 5], "WindowWidth": [501, 5]}
    path = dicom(tmp_path / "a.dcm", RAMP, **tags)
    expected = np.clip((RAMP * 2.0 - 1000 - 749.5) / 500, 0, 1)
    for window in ("file", (1000.0, 501.0)):
        got = image_io.read(path, window=window)[0].numpy() / 65535
        assert np.abs(got - expected).max() < 1e-4
    whole = image_io.read(path)[0].numpy()
    assert np.array_equal(whole, image_io.read(dicom(tmp_path / "b.dcm", RAMP))[0].numpy())


def test_a_negative_slope_turns_the_image_round(tmp_path: Path) -> None:
    plain = image_io.read(dicom(tmp_path / "a.dcm", RAMP)).numpy().astype(int)
    turned = image_io.read(dicom(tmp_path / "b.dcm", RAMP, RescaleSlope=-1, RescaleIntercept=0))
    assert np.abs(65535 - plain - turned.numpy()).max() <= 1


def test_rgb(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    got = image_io.read(dicom(tmp_path / "a.dcm", pixels, bits=8))
    assert np.array_equal(got.permute(1, 2, 0).numpy(), pixels)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"NumberOfFrames": 7}, "7 frames.*dcmtk"),
        ({"TransferSyntaxUID": JPEG2000Lossless}, "JPEG 2000.*gdcmconv"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "PALETTE COLOR"),
        ({"RescaleSlope": 0}, "RescaleSlope = 0"),
        ({"BitsStored": 17}, "BitsStored = 17"),
    ],
)
def test_refusals_are_by_name(tmp_path: Path, tags: dict[str, Any], message: str) -> None:
    pixels = RAMP
    if "TransferSyntaxUID" in tags:  # pydicom wants encapsulated data in such a file
        tags = {**tags, "PixelData": pydicom.encaps.encapsulate([b"\0" * 100])}
    with pytest.raises(image_io.ImageError, match=message):
        image_io.read(dicom(tmp_path / "a.dcm", pixels, **tags))


def test_too_large_truncated_and_imageless(tmp_path: Path) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP)
    with pytest.raises(image_io.ImageError, match="max_pixels"):
        image_io.read(path, max_pixels=100)
    whole = path.read_bytes()
    (tmp_path / "b.dcm").write_bytes(whole[:-500])
    with pytest.raises(image_io.ImageError):
        image_io.read(tmp_path / "b.dcm")
    with pytest.raises(image_io.ImageError, match="without an image"):
        image_io.read(dicom_without_image(tmp_path / "c.dcm"))
    with pytest.raises(image_io.ImageError, match="no window"):
        image_io.read(path, window="file")


def dicom_without_image(path: Path) -> Path:
    dataset = pydicom.dcmread(io.BytesIO(dicom(path, RAMP).read_bytes()))
    del dataset.Rows
    dataset.save_as(path)
    return path
