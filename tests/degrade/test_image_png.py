"""PNG files of our own writing, read back by Pillow and by our reader."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from degrade.images import image_io, png


@pytest.fixture(params=["deflate", "zlib"])
def compressor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "deflate":
        pytest.importorskip("deflate", reason="libdeflate is not installed")
    else:
        monkeypatch.setitem(sys.modules, "deflate", None)
    png._compressor.cache_clear()
    yield
    png._compressor.cache_clear()


def noise(shape: tuple[int, ...], dtype: type[np.uint8] | type[np.uint16]) -> NDArray[np.uint8 | np.uint16]:
    return np.random.default_rng(1).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


@pytest.mark.usefixtures("compressor")
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (13, 1), (31, 46)])
@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_what_was_written_is_read(
    size: tuple[int, int], channels: tuple[int, ...], dtype: type[np.uint8] | type[np.uint16]
) -> None:
    samples = noise((*size, *channels), dtype)
    data = png.encode(samples)
    read = image_io.read_bytes(data).numpy()
    assert read.dtype == dtype
    assert np.array_equal(read, samples.reshape(*size, -1).transpose(2, 0, 1))
    with Image.open(io.BytesIO(data)) as image:
        image.verify()  # the check sums of the chunks
    if dtype == np.uint8 or not channels:  # Pillow cuts 16-bit color to 8 bits
        with Image.open(io.BytesIO(data)) as image:
            assert np.array_equal(np.asarray(image), samples)


@pytest.mark.usefixtures("compressor")
def test_views_of_larger_arrays() -> None:
    samples = noise((40, 30, 3), np.uint8)
    for view in (samples[::2, 5:], samples[::-1], samples.transpose(1, 0, 2)):
        assert np.array_equal(image_io.read_bytes(png.encode(view)).permute(1, 2, 0).numpy(), view)


def test_another_filter_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: rows that say another filter than they have."""
    samples = noise((20, 20, 3), np.uint8)
    monkeypatch.setattr(png, "_AVERAGE", 2)
    assert not np.array_equal(image_io.read_bytes(png.encode(samples)).permute(1, 2, 0).numpy(), samples)


def test_smooth_pictures_are_no_larger_than_pillows() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 9, 200), torch.linspace(0, 7, 200), indexing="ij")
    picture = torch.stack([y.sin(), x.cos(), (x * y).sin()]) * 0.4 + 0.5
    picture = image_io.to_integer(picture + 0.01 * torch.randn(picture.shape, generator=torch.manual_seed(0)))
    buffer = io.BytesIO()
    Image.fromarray(picture.permute(1, 2, 0).numpy()).save(buffer, "PNG", compress_level=4)
    assert len(image_io.encode(picture, "png")) < 1.15 * len(buffer.getvalue())
