"""16 bits a channel, in every layout of PNG and TIFF."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from degrade.images.image_io import ImageError, encode, read
from tests.image_samples import hwc, noise, png

tifffile = pytest.importorskip("tifffile", reason="needs tifffile")


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def big_endian_rows(samples):
    return np.ascontiguousarray(samples, ">u2").view(np.uint8).reshape(samples.shape[0], -1)


def filtered(samples, kinds):
    """The PNG specification's filters, byte by byte, in plain Python."""
    rows, step = big_endian_rows(samples).astype(int), samples.shape[2] * 2
    out = b""
    for y, kind in enumerate(kinds):
        line = [kind]
        for x, value in enumerate(rows[y]):
            a = rows[y, x - step] if x >= step else 0
            b = rows[y - 1, x] if y else 0
            c = rows[y - 1, x - step] if y and x >= step else 0
            p = a + b - c
            paeth = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            line.append(int(value - (0, a, b, (a + b) // 2, paeth)[kind]) % 256)
        out += bytes(line)
    return out


@pytest.mark.parametrize(("colour_type", "samples"), [(2, 3), (6, 4), (4, 2)])
def test_16_bit_png_with_every_filter(tmp_path, colour_type, samples):
    image = hwc(noise(samples, 10, 7, bits=16))
    path = tmp_path / "a.png"
    path.write_bytes(png(7, 10, colour_type, filtered(image, [0, 1, 2, 3, 4, 4, 3, 2, 1, 0])))
    colours = image[..., :3] if samples >= 3 else image[..., :1]
    back = read(path)
    assert back.dtype == torch.uint16
    np.testing.assert_array_equal(back.numpy(), colours.transpose(2, 0, 1))


@pytest.mark.parametrize(("colour_type", "samples"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_16_bit_png_interlaced(tmp_path, colour_type, samples):
    image = noise(samples, 11, 13, bits=16).numpy().transpose(1, 2, 0)
    raw = b""
    for x, y, dx, dy in [
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ]:
        part = image[y::dy, x::dx]
        raw += filtered(part, [0] * part.shape[0])
    path = tmp_path / "a.png"
    path.write_bytes(png(13, 11, colour_type, raw, interlace=1))
    colours = image[..., : 3 if samples >= 3 else 1]
    np.testing.assert_array_equal(read(path).numpy(), colours.transpose(2, 0, 1))


def test_16_bit_rgb_png_is_read_by_another_decoder():
    cv2 = pytest.importorskip("cv2", reason="needs opencv-python-headless")
    image = noise(3, bits=16)
    decoded = cv2.imdecode(np.frombuffer(encode(image, "png"), np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(decoded[..., ::-1], hwc(image))


@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("layout", [{}, {"tile": (16, 16)}, {"rowsperstrip": 5}])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("extra", [None, "unspecified", "unassalpha", "assocalpha"])
@pytest.mark.parametrize("planar", [False, True])
def test_16_bit_rgb_tiff(tmp_path, byteorder, layout, compression, extra, planar):
    image = noise(4 if extra else 3, 21, 37, bits=16).numpy()
    tifffile.imwrite(
        tmp_path / "a.tif",
        image if planar else image.transpose(1, 2, 0),
        photometric="rgb",
        planarconfig="separate" if planar else "contig",
        byteorder=byteorder,
        compression=compression,
        extrasamples=[extra] if extra else None,
        **layout,
    )
    back = read(tmp_path / "a.tif")
    assert back.dtype == torch.uint16
    np.testing.assert_array_equal(back.numpy(), image[:3])


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"compression": "zlib", "predictor": True}])
def test_16_bit_grey_tiff(tmp_path, options):
    options = dict(options)
    image = noise(1, bits=16).numpy()
    tifffile.imwrite(tmp_path / "a.tif", image[0], **options)
    np.testing.assert_array_equal(read(tmp_path / "a.tif").numpy(), image)
    options.pop("byteorder", None)  # Pillow knows no big-endian white-is-zero
    tifffile.imwrite(tmp_path / "white.tif", image[0], photometric="miniswhite", **options)
    np.testing.assert_array_equal(read(tmp_path / "white.tif").numpy(), 65535 - image)


def test_16_bit_colour_that_is_not_kept_is_refused(tmp_path):
    (tmp_path / "a.ppm").write_bytes(b"P6 1 1 65535\n" + bytes(6))
    with pytest.raises(ImageError, match="more than 8 bits"):
        read(tmp_path / "a.ppm")
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4, 4), np.uint16), photometric="separated")
    with pytest.raises(ImageError, match="16-bit CMYK"):
        read(tmp_path / "a.tif")


@pytest.mark.parametrize(("dtype", "kind"), [(np.float32, "32-bit float"), (np.int16, "signed"), (np.uint32, "32-bit")])
def test_other_pixel_types_are_refused_by_name(tmp_path, dtype, kind):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 5), dtype))
    with pytest.raises(ImageError, match=kind):
        read(tmp_path / "a.tif")


def test_without_tifffile_the_message_says_what_to_install(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tif", noise(3, bits=16).numpy(), photometric="rgb", planarconfig="separate")
    monkeypatch.setitem(__import__("sys").modules, "tifffile", None)
    with pytest.raises(ImageError, match=r"pip install degrade-enhance\[tiff\]"):
        read(tmp_path / "a.tif")
    with pytest.raises(ModuleNotFoundError, match=r"pip install degrade-enhance\[tiff\]"):
        encode(noise(3, bits=16), "tiff")
