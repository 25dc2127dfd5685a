"""DICOM: bit depths, signs, rescaling, windows, inversion, and what is refused by name."""

from __future__ import annotations

import io
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from degrade.images import image_io
from degrade.images.dicom import count_frames

pydicom = pytest.importorskip("pydicom", reason="needs pydicom")
from pydicom.dataset import FileDataset, FileMetaDataset  # noqa: E402
from pydicom.uid import ExplicitVRLittleEndian, JPEGBaseline8Bit  # noqa: E402


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
        ({"PhotometricInterpretation": "HSV"}, "PhotometricInterpretation = HSV"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "palette"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope = 0"),
        ({"RescaleSlope": "1e-300", "RescaleIntercept": "1e10"}, "all grey values equal"),
        ({"RescaleSlope": [1, 2], "RescaleIntercept": 0}, "RescaleSlope"),
        ({"BitsStored": 17}, "BitsStored = 17"),
        ({"HighBit": 3}, "HighBit = 3"),
        ({"HighBit": 30}, "HighBit = 30"),
        ({"PixelRepresentation": 2}, "PixelRepresentation = 2"),
        ({"BitsAllocated": 32}, "BitsAllocated = 32"),
        ({"NumberOfFrames": 0}, "NumberOfFrames = 0"),
        ({"NumberOfFrames": 10**9}, "NumberOfFrames = 1000000000"),
        ({"NumberOfFrames": 7}, "7 frames.*frame = 0 to 6"),
    ],
)
def test_refusals_are_by_name(tmp_path: Path, tags: dict[str, Any], message: str) -> None:
    with pytest.raises(image_io.ImageError, match=message):
        image_io.read(dicom(tmp_path / "a.dcm", RAMP, **tags))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"WindowCenter": 1e6, "WindowWidth": 10}, "all grey values equal"),
        ({"WindowCenter": 100, "WindowWidth": 0}, "width = 0"),
        ({"WindowCenter": 100, "WindowWidth": 10, "VOILUTFunction": "CUBIC"}, "CUBIC"),
        ({"WindowCenter": None, "WindowWidth": None}, "no window"),
        ({"WindowCenter": 5}, "no window"),
    ],
)
def test_windows_that_show_nothing_are_refused(tmp_path: Path, tags: dict[str, Any], message: str) -> None:
    with pytest.raises(image_io.ImageError, match=message):
        image_io.read(dicom(tmp_path / "a.dcm", RAMP, **tags), window="file")


def shown_by_pydicom(path: Path) -> np.ndarray:
    """Levels in [0, 1] as pydicom's own functions give them, from the range that its documentation states."""
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    dataset = pydicom.dcmread(path)
    values = apply_voi_lut(apply_modality_lut(dataset.pixel_array, dataset), dataset).astype(np.float64)
    if "VOILUTSequence" in dataset:
        low, high = 0, 2 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "ModalityLUTSequence" in dataset:
        low, high = 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    else:
        low, high = (end * dataset.RescaleSlope + dataset.RescaleIntercept for end in (0, 4095))
    return (values - low) / (high - low)


def table(name: str, entries: np.ndarray, first: int = 0, bits: int = 16) -> dict[str, Any]:
    item = pydicom.Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = entries.astype("<u2").tobytes()
    item["LUTData"].VR = "OW"
    return {name: pydicom.Sequence([item])}


WINDOW = {"WindowCenter": 1500, "WindowWidth": 900, "RescaleSlope": 1, "RescaleIntercept": 0}
INVERTING = table("ModalityLUTSequence", np.linspace(65535, 0, 4096).round())
CURVE = table("VOILUTSequence", (np.linspace(0, 1, 2000) ** 2 * 4095).round(), first=500, bits=12)


@pytest.mark.parametrize(
    "tags",
    [
        {**WINDOW, "VOILUTFunction": "LINEAR"},
        {**WINDOW, "VOILUTFunction": "LINEAR_EXACT"},
        {**WINDOW, "VOILUTFunction": "SIGMOID"},
        {**WINDOW, "RescaleSlope": 0.5, "RescaleIntercept": -100, "WindowCenter": 700},
        {"WindowCenter": [1500, 3], "WindowWidth": [900, 3], "RescaleSlope": 1, "RescaleIntercept": 0},
        {**INVERTING, "WindowCenter": 30000, "WindowWidth": 20000},
        CURVE,
    ],
    ids=["linear", "exact", "sigmoid", "rescaled", "several", "modality table", "voi table"],
)
def test_the_files_own_window_is_pydicoms(tmp_path: Path, tags: dict[str, Any]) -> None:
    path = dicom(tmp_path / "a.dcm", RAMP, **tags)
    expected = (shown_by_pydicom(path) * 65535).round()
    assert np.array_equal(image_io.read(path, window="file")[0].numpy(), expected)
    assert len(np.unique(expected)) > 100


def test_a_modality_table_that_inverts_is_applied(tmp_path: Path) -> None:
    inverted = image_io.read(dicom(tmp_path / "a.dcm", RAMP, **INVERTING))[0].numpy()
    plain = image_io.read(dicom(tmp_path / "b.dcm", RAMP))[0].numpy()
    assert np.abs(inverted.astype(int) - (65535 - plain.astype(int))).max() <= 1


@pytest.mark.parametrize("missing", ["RescaleSlope", "RescaleIntercept"])
def test_half_a_rescaling_or_an_empty_one_is_none(tmp_path: Path, missing: str) -> None:
    expected = image_io.read(dicom(tmp_path / "a.dcm", RAMP))
    tags = {"RescaleSlope": -3, "RescaleIntercept": 7}
    for number, changed in enumerate(({**tags, missing: None}, {n: v for n, v in tags.items() if n != missing})):
        got = image_io.read(dicom(tmp_path / f"{number}.dcm", RAMP, **changed))
        assert np.array_equal(got.numpy(), expected.numpy())


def test_frames_of_a_file_have_their_own_slopes(tmp_path: Path) -> None:
    frames = np.stack([RAMP, RAMP[::-1], RAMP // 2])
    groups = []
    for slope in (1, -1, 1):
        inner, outer = pydicom.Dataset(), pydicom.Dataset()
        inner.RescaleSlope, inner.RescaleIntercept = slope, 0
        outer.PixelValueTransformationSequence = pydicom.Sequence([inner])
        groups.append(outer)
    tags = {"NumberOfFrames": 3, "PerFrameFunctionalGroupsSequence": pydicom.Sequence(groups)}
    path = dicom(tmp_path / "a.dcm", RAMP, PixelData=frames.tobytes(), **tags)
    with open(path, "rb") as file:
        assert count_frames(file) == 3
    for number, (pixels, slope) in enumerate(zip(frames, (1, -1, 1), strict=True)):
        level = pixels / 4095 if slope > 0 else 1 - pixels / 4095
        got = image_io.read(path, frame=number)[0].numpy()
        assert np.abs(got - level * 65535).max() <= 1
    with pytest.raises(image_io.ImageError, match="frame 3: the DICOM file has 3"):
        image_io.read(path, frame=3)


def test_files_without_a_syntax_or_a_preamble_are_read(tmp_path: Path) -> None:
    expected = image_io.read(dicom(tmp_path / "a.dcm", RAMP)).numpy()
    whole = (tmp_path / "a.dcm").read_bytes()
    (tmp_path / "b.dcm").write_bytes(whole[132:])
    assert np.array_equal(image_io.read(tmp_path / "b.dcm").numpy(), expected)
    dataset = pydicom.dcmread(tmp_path / "a.dcm")
    del dataset.file_meta.TransferSyntaxUID
    dataset.save_as(tmp_path / "c.dcm", implicit_vr=False, little_endian=True, enforce_file_format=False)
    assert np.array_equal(image_io.read(tmp_path / "c.dcm").numpy(), expected)


def test_a_compressed_picture_larger_than_its_header_says_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (640, 480)).save(buffer, "JPEG")
    pixels = np.zeros((32, 40), np.uint8)
    tags = {"TransferSyntaxUID": JPEGBaseline8Bit, "PixelData": pydicom.encaps.encapsulate([buffer.getvalue()])}
    with pytest.raises(image_io.ImageError, match="640 x 480 pixels, the header says 40 x 32"):
        image_io.read(dicom(tmp_path / "a.dcm", pixels, bits=8, **tags))


def test_a_deflated_file_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    path = tmp_path / "bomb.dcm"
    head = dicom(tmp_path / "a.dcm", RAMP).read_bytes()
    plain, deflated = b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99"
    at = head.index(plain)
    meta = head[: at - 2] + len(deflated).to_bytes(2, "little") + deflated
    path.write_bytes(meta + zlib.compress(bytes(200_000_000), wbits=-15))
    tracemalloc.start()
    with pytest.raises(image_io.ImageError, match="deflated"):
        image_io.read(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()


FILES = Path(pydicom.__file__).parent / "data/test_files"
READ = [
    ("693_J2KI", 1), ("CT_small", 1), ("ExplVR_BigEnd", 1), ("GDCMJ2K_TextGBR", 1), ("JPEG2000", 1),
    ("JPEGLSNearLossless_08", 1), ("JPEGLSNearLossless_16", 1), ("JPGExtended", 1), ("MR_small", 1),
    ("MR_small_RLE", 1), ("MR_small_bigendian", 1), ("MR_small_implicit", 1), ("MR_small_jp2klossless", 1),
    ("MR_small_jpeg_ls_lossless", 1), ("MR_small_padded", 1), ("SC_jpeg_no_color_transform", 1),
    ("SC_rgb_dcmtk_+eb+cy+np", 1), ("SC_rgb_jpeg", 1), ("SC_rgb_jpeg_dcmtk", 1), ("SC_rgb_jls_lossy_line", 1),
    ("SC_rgb_rle", 1), ("SC_rgb_rle_16bit_2frame", 2), ("SC_rgb_rle_2frame", 2), ("SC_rgb_small_odd_big_endian", 1),
    ("SC_ybr_full_422_uncompressed", 1), ("examples_jpeg2k", 1), ("examples_overlay", 1), ("examples_palette", 1),
    ("examples_rgb_color", 1), ("examples_ybr_color", 30), ("liver_1frame", 1),
]  # fmt: skip


@pytest.mark.parametrize(("name", "frames"), READ, ids=[name for name, _ in READ])
@pytest.mark.filterwarnings("ignore")
def test_pydicoms_own_files(name: str, frames: int) -> None:
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array

    path = FILES / f"{name}.dcm"
    if not path.exists():
        pytest.skip(f"this pydicom does not come with {path.name}")
    dataset = pydicom.dcmread(path)
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        pytest.importorskip("openjpeg", reason="needs pylibjpeg-openjpeg")
        pytest.importorskip("libjpeg", reason="needs pylibjpeg-libjpeg")
    with open(path, "rb") as file:
        assert count_frames(file) == frames
    last = frames - 1
    samples = pixel_array(dataset, index=last)
    got = image_io.read(path, frame=last if frames > 1 else None).numpy()
    bits = int(dataset.BitsStored)
    if samples.ndim == 3:
        assert np.array_equal(got, samples.transpose(2, 0, 1))
    elif dataset.PhotometricInterpretation == "PALETTE COLOR":
        assert np.array_equal(got, apply_color_lut(samples, dataset).transpose(2, 0, 1))
    else:
        signed = dataset.PixelRepresentation == 1
        values = np.asarray(apply_modality_lut(samples, dataset), np.float64)
        ends = [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] if signed else [0, 2**bits - 1]
        low, high = (end * dataset.get("RescaleSlope", 1) + dataset.get("RescaleIntercept", 0) for end in ends)
        scale = 255 if bits <= 8 else 65535
        assert np.array_equal(got[0], ((values - low) / (high - low) * scale).round())


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
