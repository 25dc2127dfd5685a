"""Pillow pictures of every mode: what becomes of their values, and what can come back as it came."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from degrade.images import pil

COLORS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
RGB = Image.fromarray(COLORS)
GREY = RGB.convert("L")


def quantized() -> tuple[Image.Image, np.ndarray]:
    picture = RGB.quantize(16)
    palette = np.array(picture.getpalette(), np.uint8).reshape(-1, 3)
    return picture, palette[np.asarray(picture)]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "RGBa", "HSV", "YCbCr", "CMYK"])
def test_color_modes_become_rgb(mode: str) -> None:
    picture = RGB.convert("RGBA").convert("RGBa") if mode == "RGBa" else RGB.convert(mode)
    got = pil.to_tensor(picture)
    assert got.dtype == torch.uint8
    assert got.is_contiguous()
    # hue and chroma are rounded to whole numbers
    assert np.abs(got.permute(1, 2, 0).numpy().astype(int) - COLORS).max() <= (6 if mode in ("HSV", "YCbCr") else 0)


def test_palettes_become_their_colors() -> None:
    picture, colors = quantized()
    assert np.array_equal(pil.to_tensor(picture).permute(1, 2, 0).numpy(), colors)
    with_alpha = picture.copy()
    with_alpha.info["transparency"] = 3
    assert np.array_equal(pil.to_tensor(with_alpha).permute(1, 2, 0).numpy(), colors)
    assert np.array_equal(pil.to_tensor(picture.convert("PA")).permute(1, 2, 0).numpy(), colors)


@pytest.mark.parametrize("mode", ["L", "LA", "La"])
def test_grey_modes_stay_grey(mode: str) -> None:
    picture = GREY.convert("LA").convert("La") if mode == "La" else GREY.convert(mode)
    assert np.array_equal(pil.to_tensor(picture)[0].numpy(), np.asarray(GREY))


def test_black_and_white_is_0_and_255() -> None:
    assert pil.to_tensor(Image.fromarray(COLORS[..., 0] > 99)).unique().tolist() == [0, 255]


@pytest.mark.parametrize("mode", ["I;16", "I;16B"])
def test_16_bits_are_kept_and_come_back(mode: str) -> None:
    values = np.arange(63, dtype=np.uint16).reshape(9, 7) * 1000
    picture = Image.frombytes(mode, (7, 9), values.astype(">u2" if mode == "I;16B" else "<u2").tobytes())
    got = pil.to_tensor(picture)
    assert got.dtype == torch.uint16
    assert np.array_equal(got[0].numpy(), values)
    back = pil.from_tensor(got, picture)
    assert back.mode == mode
    assert back.tobytes() == picture.tobytes()


@pytest.mark.parametrize("mode", ["I", "F"])
def test_modes_without_a_known_range_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"mode {mode}"):
        pil.to_tensor(Image.new(mode, (4, 4)))


@pytest.mark.parametrize("mode", ["L", "RGB", "LA", "RGBA"])
def test_what_comes_back_has_mode_and_alpha(mode: str) -> None:
    picture = RGB.convert(mode)
    if "A" in mode:
        picture.putalpha(GREY)
    back = pil.from_tensor(255 - pil.to_tensor(picture), picture)
    assert back.mode == mode
    assert back.size == picture.size
    channels = len(mode.removesuffix("A"))
    expected = 255 - np.asarray(picture).reshape(9, 7, -1)[..., :channels]
    assert np.array_equal(np.asarray(back).reshape(9, 7, -1)[..., :channels], expected)
    if "A" in mode:
        assert back.getchannel("A").tobytes() == GREY.tobytes()


@pytest.mark.parametrize("mode", ["P", "PA", "1", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "RGBX"])
def test_what_cannot_come_back_is_refused_with_the_way_out(mode: str) -> None:
    with pytest.raises(ValueError, match=r"mode .* cannot come back as it came; give image.convert"):
        pil.check_returnable(Image.new(mode, (4, 4)))
