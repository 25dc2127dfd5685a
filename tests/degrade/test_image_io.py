"""Image files written and read back, and the conversions between integers and floats."""

from __future__ import annotations

import io
import os
import struct
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from degrade.images import image_io
from degrade.images.image_io import encode, read, resize, to_float, to_integer, write, write_bytes
from tests.image_samples import hwc, noise, save, smooth

tifffile = pytest.importorskip("tifffile", reason="needs tifffile")


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# --- there and back


@pytest.mark.parametrize("suffix", [".png", ".tif", ".TIFF"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_formats_are_bit_exact(tmp_path, suffix, channels, bits):
    image = noise(channels, bits=bits)
    write(tmp_path / f"a{suffix}", image)
    back = read(tmp_path / f"a{suffix}")
    assert back.dtype == image.dtype
    assert torch.equal(back.int(), image.int())
    assert os.listdir(tmp_path) == [f"a{suffix}"]


@pytest.mark.parametrize(
    ("suffix", "channels", "back"), [("jpg", 1, 1), ("jpeg", 3, 3), ("webp", 3, 3), ("webp", 1, 3)]
)
def test_lossy_formats_are_close(tmp_path, suffix, channels, back):
    image = smooth(channels)
    path = tmp_path / f"a.{suffix}"
    write(path, image, quality=95)
    decoded = read(path)
    assert decoded.shape == (back, 48, 64)
    assert (decoded.int() - image.int()).abs().max() <= 12
    assert len(encode(image, suffix, quality=10)) < len(encode(image, suffix, quality=95))


def test_jpeg_keeps_colour_at_full_resolution():
    file = Image.open(io.BytesIO(encode(smooth(3), "jpeg")))
    assert {(across, down) for _, across, down, _ in file.layer} == {(1, 1)}


def test_other_formats_are_read(tmp_path):
    image = noise(3)
    for name in ("a.bmp", "a.ppm", "a.png"):
        assert torch.equal(read(save(tmp_path / name, hwc(image))), image)
    grey = noise(1)
    assert torch.equal(read(save(tmp_path / "a.pgm", hwc(grey))), grey)
    assert torch.equal(read(save(tmp_path / "a.gif", hwc(grey))), grey.expand(3, -1, -1))
    (tmp_path / "deep.pgm").write_bytes(b"P5 2 1 65535\n" + struct.pack(">2H", 1, 65534))
    assert read(tmp_path / "deep.pgm").tolist() == [[[1, 65534]]]
    assert {".png", ".jpeg", ".tif", ".gif", ".ppm"} <= image_io.IMAGE_SUFFIXES


def test_content_decides_not_the_name(tmp_path):
    save(tmp_path / "a.png", hwc(noise(3))).rename(tmp_path / "a.txt")
    assert torch.equal(read(tmp_path / "a.txt"), noise(3))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_samples_survive(tmp_path_factory, data):
    dtype = data.draw(st.sampled_from([np.uint8, np.uint16]))
    shape = (data.draw(st.sampled_from([1, 3])), data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    image = torch.from_numpy(data.draw(arrays(dtype, shape)))
    path = tmp_path_factory.getbasetemp() / f"any.{data.draw(st.sampled_from(['png', 'tiff']))}"
    write(path, image)
    back = read(path)
    assert back.dtype == image.dtype
    assert torch.equal(back.int(), image.int())
    assert torch.equal(to_integer(to_float(back), 8 * image.dtype.itemsize).int(), image.int())


# --- conversions


def test_to_float_divides_by_the_full_scale():
    assert to_float(torch.tensor([[0, 255]], dtype=torch.uint8)).tolist() == [[0.0, 1.0]]
    assert to_float(torch.tensor([0, 257, 65535], dtype=torch.uint16)).tolist() == [0.0, pytest.approx(1 / 255), 1.0]
    assert to_float(torch.tensor([65535], dtype=torch.uint16), torch.float16).tolist() == [1.0]
    assert to_float(noise(3), torch.float64).dtype == torch.float64
    same = torch.rand(2, 3)
    assert to_float(same) is same
    assert to_float(torch.zeros(0, 3)).shape == (0, 3)


@pytest.mark.parametrize("bad", [torch.tensor([1.01]), torch.tensor([-0.1]), torch.tensor([float("nan")])])
def test_to_float_refuses_floats_out_of_range(bad):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        to_float(bad)


def test_conversions_refuse_other_types():
    with pytest.raises(TypeError, match="int64"):
        to_float(torch.zeros(3, dtype=torch.int64))
    with pytest.raises(TypeError, match="dtype must be"):
        to_float(noise(3), torch.int32)
    with pytest.raises(TypeError, match="uint8"):
        to_integer(noise(3))
    with pytest.raises(ValueError, match="bits must be 8 or 16, got 12"):
        to_integer(torch.zeros(3), 12)
    with pytest.raises(ValueError, match="NaN"):
        to_integer(torch.tensor([float("nan")]))


def test_to_integer_rounds_and_clamps():
    values = torch.tensor([-1.0, 0.0, 0.4 / 255, 0.6 / 255, 1.0, 7.0])
    assert to_integer(values).tolist() == [0, 0, 0, 1, 255, 255]
    assert to_integer(values, 16).tolist() == [0, 0, 103, 154, 65535, 65535]
    assert to_integer(torch.ones(2, dtype=torch.float16), 16).tolist() == [65535, 65535]
    assert to_integer(torch.ones(2, requires_grad=True)).tolist() == [255, 255]


# --- writing


def test_encode_refuses(tmp_path):
    for suffix in ("jpg", ".webp"):
        with pytest.raises(ValueError, match=r"cannot hold 16 bits.*png or tiff"):
            encode(noise(3, bits=16), suffix)
    with pytest.raises(ValueError, match=r"suffix must be one of png.*got 'xyz'"):
        encode(noise(3), "xyz")
    with pytest.raises(ValueError, match="suffix must be"):
        write(tmp_path / "none", noise(3))
    with pytest.raises(TypeError, match="to_integer"):
        encode(torch.zeros(3, 4, 4), "png")
    for shape in [(4, 4), (2, 4, 4), (4, 4, 3), (3, 0, 4), (1, 3, 4, 4)]:
        with pytest.raises(ValueError, match="image must be"):
            encode(torch.zeros(shape, dtype=torch.uint8), "png")
    for quality in (0, 101):
        with pytest.raises(ValueError, match="quality must be from 1 to 100"):
            encode(noise(3), "jpg", quality=quality)
    with pytest.raises(ValueError, match="WebP cannot hold 17000 x 1"):
        encode(noise(3, 1, 17000), "webp")
    assert os.listdir(tmp_path) == []


def test_encode_takes_any_strides():
    image = noise(3, 8, 9)
    turned = image.transpose(1, 2)
    assert encode(turned, "png") == encode(turned.contiguous(), "png")


def test_write_makes_folders_and_replaces(tmp_path):
    path = tmp_path / "a" / "b" / "c.png"
    write(path, noise(3))
    write(str(path), noise(1))
    assert read(path).shape[0] == 1
    assert os.listdir(path.parent) == ["c.png"]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch, error):
    path = tmp_path / "a.png"
    write(path, noise(3))
    before = path.read_bytes()

    def fail(*_):
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(type(error)):
        write(path, noise(1))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_write_bytes_onto_a_folder(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(OSError, match="a"):
        write_bytes(tmp_path / "a", b"text")
    assert os.listdir(tmp_path) == ["a"]
    write_bytes(tmp_path / "b.json", b"{}")
    assert (tmp_path / "b.json").read_bytes() == b"{}"
    assert os.stat(tmp_path / "b.json").st_mode & 0o777 == 0o666 & ~current_umask()


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# --- resizing


@pytest.mark.parametrize(
    ("shape", "inside"), [((40, 80), (16, 32)), ((90, 30), (32, 11)), ((7, 7), (32, 32)), ((1, 99), (1, 32))]
)
def test_resize_keeps_the_aspect_and_pads_equally(shape, inside):
    out = resize(torch.ones(3, *shape), 32)
    assert out.shape == (3, 32, 32)
    rows, columns = (out[0].amax(1) > 0), (out[0].amax(0) > 0)
    assert (int(rows.sum()), int(columns.sum())) == inside
    for used in (rows, columns):
        before = int(used.int().argmax())
        after = 32 - before - int(used.sum())
        assert 0 <= after - before <= 1
    assert out.max() == 1


def test_resize_of_a_square_of_the_same_size_is_the_identity():
    image = torch.rand(3, 32, 32)
    torch.testing.assert_close(resize(image, 32), image)


def test_resize_averages_and_stays_in_range():
    image = torch.rand(1, 256, 256).round()  # the finest texture: aliasing would keep its contrast
    small = resize(image, 32)
    assert abs(float(small.mean() - image.mean())) < 0.01
    assert small.std() < 0.1
    assert 0 <= resize(image, 300).min() <= resize(image, 300).max() <= 1


def test_resize_refuses():
    with pytest.raises(TypeError, match="to_float"):
        resize(noise(3), 8)
    with pytest.raises(ValueError, match="size must be at least 1, got 0"):
        resize(torch.zeros(3, 4, 4), 0)
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        resize(torch.zeros(4, 4), 8)


def test_resize_takes_batches():
    images = torch.rand(3, 3, 30, 40)
    assert torch.equal(resize(images, 16), torch.stack([resize(image, 16) for image in images]))
