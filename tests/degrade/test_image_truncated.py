"""A file cut short anywhere is refused, or is the whole picture: never a picture with a part made up."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from degrade.images.image_io import ImageError, read_bytes
from tests.image_samples import hwc, smooth

PICTURE = Image.fromarray(hwc(smooth(3)))
GREY = PICTURE.convert("L")


def coded(kind: str, picture: Image.Image = PICTURE, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


FILES = {
    "png": coded("PNG"),
    "jpeg": coded("JPEG"),
    "jpeg 4:4:4": coded("JPEG", subsampling=0),
    "jpeg grey": coded("JPEG", GREY),
    "jpeg CMYK": coded("JPEG", PICTURE.convert("CMYK")),
    "jpeg with restarts": coded("JPEG", restart_marker_blocks=3),
    "jpeg progressive": coded("JPEG", progressive=True),
    "bmp": coded("BMP"),
    "webp": coded("WebP"),
    "webp lossless": coded("WebP", lossless=True),
    "gif": coded("GIF"),
    "tiff": coded("TIFF"),
    "tiff lzw": coded("TIFF", compression="tiff_lzw"),
    "tiff jpeg": coded("TIFF", compression="jpeg"),
    "ppm": coded("PPM"),
    "pbm": coded("PPM", PICTURE.convert("1")),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("end", [b"", b"\xff\xd9"], ids=["cut", "cut and ended"])
def test_never_a_part_made_up(name: str, end: bytes) -> None:
    if end and (not name.startswith("jpeg") or name == "jpeg progressive"):
        pytest.skip("the end marker of JPEG files of one scan")
    data = FILES[name]
    whole = read_bytes(data)
    refused = 0
    last = len(data) - 10 if end else len(data)  # that many bytes libjpeg looks ahead
    for cut in range(1, last, max(1, len(data) // 60)):
        try:
            assert torch.equal(read_bytes(data[:cut] + end), whole), f"cut at {cut} of {len(data)}"
        except ImageError:
            refused += 1
    assert refused > 40


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_of_nothing_but_its_header_is_refused(progressive: bool) -> None:
    data = coded("JPEG", Image.new("RGB", (640, 480)), progressive=progressive)
    scan = data.index(b"\xff\xda")
    header = data[: scan + 2 + int.from_bytes(data[scan + 2 : scan + 4], "big")]
    with pytest.raises(ImageError, match="truncated"):
        read_bytes(header + b"\xff\xd9")


@pytest.mark.parametrize("size", [(1, 1), (7, 9), (8, 8), (17, 33), (64, 3)])
@pytest.mark.parametrize(
    "options",
    [{}, {"subsampling": 0}, {"subsampling": 1}, {"quality": 1}, {"optimize": True}, {"progressive": True},
     {"restart_marker_rows": 1}],
)  # fmt: skip
def test_whole_jpegs_are_read_as_pillow_reads_them(size: tuple[int, int], options: dict[str, object]) -> None:
    width, height = size
    noisy = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    for picture in (Image.fromarray(noisy), Image.new("RGB", size, (7, 7, 7))):
        data = coded("JPEG", picture, **options)
        assert np.array_equal(hwc(read_bytes(data)), np.asarray(Image.open(io.BytesIO(data))))
