"""Every kind of pixel decoded, every broken file refused in one line."""

from __future__ import annotations

import struct
import threading
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from degrade.images.image_io import ImageError, encode, read, write
from tests.image_samples import hwc, noise, png, save, smooth

tifffile = pytest.importorskip("tifffile", reason="needs tifffile")


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- orientation, alpha, palettes, colour spaces


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_exif_orientation(tmp_path, orientation, name):
    exif = Image.Exif()
    exif[274] = orientation
    array = hwc(smooth(3))
    array[:20, :20] = 250
    options = {"lossless": True} if name.endswith("webp") else {"quality": 100, "subsampling": 0}
    Image.fromarray(array).save(tmp_path / name, exif=exif, **(options if name != "a.tif" else {}))
    turned = {
        1: array,
        2: np.fliplr(array),
        3: np.rot90(array, 2),
        4: np.flipud(array),
        5: array.swapaxes(0, 1),
        6: np.rot90(array, -1),
        7: np.rot90(array, 2).swapaxes(0, 1),
        8: np.rot90(array, 1),
    }[orientation]
    back = hwc(read(tmp_path / name)).astype(int)
    assert back.shape == turned.shape
    assert np.abs(back - turned).max() <= (40 if name == "a.jpg" else 0)  # the edge of the square rings in JPEG
    assert np.abs(back - turned).mean() < 1


@pytest.mark.parametrize("planar", [False, True])
def test_orientation_of_16_bit_tiff(tmp_path, planar):
    image = noise(3, bits=16).numpy()
    samples = image if planar else image.transpose(1, 2, 0)
    config = "separate" if planar else "contig"
    tags = [(274, 3, 1, 6, True)]
    tifffile.imwrite(tmp_path / "a.tif", samples, photometric="rgb", planarconfig=config, extratags=tags)
    np.testing.assert_array_equal(hwc(read(tmp_path / "a.tif")), np.rot90(image.transpose(1, 2, 0), -1))


def test_alpha_is_dropped_not_blended(tmp_path):
    colours = hwc(noise(4))
    assert torch.equal(read(save(tmp_path / "rgba.png", colours)), noise(4)[:3])
    grey = Image.merge("LA", [Image.fromarray(colours[..., 0]), Image.fromarray(colours[..., 1])])
    grey.save(tmp_path / "la.png")
    assert torch.equal(read(tmp_path / "la.png"), noise(4)[:1])


@pytest.mark.parametrize("transparency", [None, 3, bytes(range(100))])
def test_palette_becomes_rgb(tmp_path, transparency):
    indexed = Image.fromarray(hwc(smooth(3))).quantize(100)
    options = {} if transparency is None else {"transparency": transparency}
    indexed.save(tmp_path / "p.png", **options)
    np.testing.assert_array_equal(hwc(read(tmp_path / "p.png")), np.asarray(indexed.convert("RGB")))


def test_black_and_white_becomes_grey(tmp_path):
    bits = np.random.default_rng(0).random((9, 11)) > 0.5
    for name in ("b.png", "b.tif", "b.pbm", "b.bmp"):
        Image.fromarray(bits).save(tmp_path / name)
        np.testing.assert_array_equal(read(tmp_path / name).numpy()[0], bits * np.uint8(255))


@pytest.mark.parametrize(
    ("mode", "name"), [("CMYK", "a.jpg"), ("CMYK", "a.tif"), ("YCbCr", "a.tif"), ("YCbCr", "a.jpg")]
)
def test_other_colour_spaces_become_rgb(tmp_path, mode, name):
    image = Image.fromarray(hwc(smooth(3)))
    image.convert(mode).save(tmp_path / name)
    back = read(tmp_path / name)
    assert back.shape == (3, 48, 64)
    assert (back.int() - smooth(3).int()).abs().float().mean() < 6


def test_first_picture_of_an_animation(tmp_path):
    frames = [Image.fromarray(hwc(noise(1, seed=seed))) for seed in (1, 2)]
    for name in ("a.gif", "a.tif", "a.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert torch.equal(read(tmp_path / name)[:1], noise(1, seed=1))


# --- refusals


def refuse(path, *words, **options):
    with pytest.raises(ImageError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(path), *words):
        assert word in message
    return message


def bombs():
    side = 40_000
    header = struct.pack("<2I", side, side)
    ifd = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8)]
    ifd += [(277, 3, 1, 1), (278, 4, 1, side), (279, 4, 1, 8)]
    tiff = b"II*\0" + struct.pack("<IH", 8, len(ifd)) + b"".join(struct.pack("<HHII", *entry) for entry in ifd)
    jpeg = bytearray(encode(smooth(3), "jpeg"))
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">2H", side, side)
    webp = b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0" + bytes(4) + (side - 1).to_bytes(3, "little") * 2 + bytes(20)
    return {
        "png": png(side, side, 2, b""),
        "deep.png": png(side, side, 2, b"", bits=8),
        "jpg": bytes(jpeg),
        "bmp": b"BM" + struct.pack("<IIIIiiHHIIiiII", 0, 0, 54, 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0),
        "gif": b"GIF89a"
        + struct.pack("<2H", side, side)
        + b"\0\0\0,"
        + struct.pack("<4H", 0, 0, side, side)
        + b"\0\x08",
        "ppm": b"P6 40000 40000 255\n",
        "tif": tiff + bytes(4) + header,
        "webp": webp,
    }


@pytest.mark.parametrize("kind", bombs())
def test_bombs_are_refused_from_the_header(tmp_path, kind):
    tracemalloc = pytest.importorskip("tracemalloc")
    path = tmp_path / f"bomb.{kind}"
    path.write_bytes(bombs()[kind])
    tracemalloc.start()
    refuse(path, "40000 x 40000 = 1,600,000,000 pixels", "100,000,000", "max_pixels")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_the_limit_is_the_callers(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    write(path, noise(3, 10, 10))
    refuse(path, "10 x 10", max_pixels=99)
    assert read(path, max_pixels=100).shape == (3, 10, 10)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)  # Image.open would raise
    assert read(path).shape == (3, 10, 10)
    with pytest.raises(ValueError, match="max_pixels must be at least 1, got 0"):
        read(path, max_pixels=0)


def test_pillows_own_limit_is_named_where_it_cannot_be_avoided(tmp_path, monkeypatch):
    write(tmp_path / "a.tif", noise(1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    refuse(tmp_path / "a.tif", "PIL.Image.MAX_IMAGE_PIXELS")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("bits", [8, 16])
def test_truncated_files(tmp_path, suffix, bits, capfd):
    if bits == 16 and suffix in ("jpg", "webp"):
        pytest.skip("8 bits only")
    data = encode(noise(3, 40, 40, bits=bits), suffix)
    for length in (3, 12, 21, 29, 60, len(data) // 2, len(data) - 400):
        path = tmp_path / f"{length}.{suffix}"
        path.write_bytes(data[:length])
        refuse(path)
    if suffix != "tif":  # libtiff itself writes errors to standard error
        assert capfd.readouterr() == ("", "")


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_damaged_files_are_read_or_refused(tmp_path_factory, data):
    suffix, bits = data.draw(
        st.sampled_from([("png", 8), ("png", 16), ("jpg", 8), ("webp", 8), ("tif", 8), ("tif", 16)])
    )
    content = bytearray(encode(noise(3, 12, 12, bits=bits), suffix))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged.{suffix}"
    path.write_bytes(content)
    shape, message = (1, 1, 1), ""
    try:
        shape = read(path, max_pixels=10_000).shape
    except ImageError as error:
        message = str(error)
    assert "\n" not in message
    assert len(shape) == 3
    assert shape[0] in (1, 3)


def test_what_is_no_image(tmp_path):
    refuse(tmp_path / "none.png", "No such file")
    refuse(tmp_path, "directory")
    (tmp_path / "empty.png").touch()
    refuse(tmp_path / "empty.png", "empty")
    (tmp_path / "text.png").write_text("not an image\nat all")
    refuse(tmp_path / "text.png", "not an image")
    (tmp_path / "sound.webp").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    refuse(tmp_path / "sound.webp", "not an image")


def test_damaged_exif_does_not_cost_the_picture(tmp_path):
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\x7f", b"Exif\0\0MM\0*\0\0\0\x08\0\x09\x01"):
        Image.fromarray(hwc(smooth(3))).save(tmp_path / "a.jpg", exif=exif)
        assert read(tmp_path / "a.jpg").shape == (3, 48, 64)


def test_many_threads_at_once(tmp_path):
    filters = list(warnings.filters)
    exif = Image.Exif()
    exif[274] = 6
    for i in range(4):
        Image.fromarray(hwc(noise(3, seed=i))).save(tmp_path / f"{i}.tif", exif=exif)
    wrong = []

    def work(number):
        for i in range(20):
            expected = np.rot90(hwc(noise(3, seed=(number + i) % 4)), -1)
            if not np.array_equal(hwc(read(tmp_path / f"{(number + i) % 4}.tif")), expected):
                wrong.append((number, i))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert warnings.filters == filters
