"""Masks and maps of integers: zeros and ones are black and white, labels are refused, grey stays grey."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from degrade.errors import ImageError
from degrade.images.maps import MapKind, full_scale, map_kind

DISC = Image.new("L", (64, 64))
ImageDraw.Draw(DISC).ellipse((9, 14, 55, 50), fill=255)


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image))[None]


def levels(*values, dtype=torch.uint8) -> torch.Tensor:
    """A map (1, 64, 64) in bands of these values."""
    rows = torch.tensor(values)[torch.arange(64) * len(values) // 64]
    return rows[None, :, None].expand(1, 64, 64).to(dtype).contiguous()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("values", [(0, 1), (1,), (0, 255), (255,), (0,)])
def test_two_values_are_black_and_white(values, dtype):
    made = full_scale(levels(*values, dtype=dtype), "mask")
    white = 65535 if dtype == torch.uint16 else 255
    expected = levels(*(white * (value > 0) for value in values), dtype=made.dtype)
    assert made.dtype == (torch.uint16 if dtype == torch.uint16 else torch.uint8)
    assert torch.equal(made, expected)


def test_what_is_at_full_scale_already_stays():
    for map_ in (levels(0, 65535, dtype=torch.uint16), levels(0, 255), levels(0.0, 0.3, 1.0, dtype=torch.float32)):
        assert full_scale(map_) is map_
    assert torch.equal(full_scale(levels(0, 1, dtype=torch.bool)), levels(0, 255))
    assert map_kind(levels(0)) is MapKind.BLACK
    assert map_kind(levels(0.0, 1.0, dtype=torch.float16)) is MapKind.FLOAT
    assert map_kind(levels(0, 1)) is MapKind.ONES
    assert map_kind(levels(0, 255, dtype=torch.uint16)) is MapKind.ONES
    assert map_kind(levels(0, 255)) is map_kind(levels(0, 255, dtype=torch.int64)) is MapKind.BINARY


def test_the_argument_is_not_changed():
    map_ = levels(0, 1)
    full_scale(map_)
    assert torch.equal(map_, levels(0, 1))


@pytest.mark.parametrize(
    "map_",
    [
        levels(0, 1, 2, 3),
        levels(0, 128),
        levels(0, 1, 2, 3, 4),
        levels(2),
        levels(0, 128, 255),
        levels(0, 64, 128, 191, 255),
        levels(1, 255),
        levels(0, 1, 255),
        levels(0, 1, 2, 255),
        levels(1, 2),
        levels(0, 85, 170, 255),
        levels(*range(41)),
        levels(0, 1, 2, dtype=torch.uint16),
        levels(*range(60), dtype=torch.uint16),
        levels(0, 1, 2, dtype=torch.int64),
        levels(-1, 0, 1, dtype=torch.int64),
        levels(-1, 0, dtype=torch.int8),
        levels(*range(0, 255, 4), dtype=torch.int64),
    ],
    ids=lambda map_: f"{map_.dtype} {map_.unique().tolist()[:6]}",
)
def test_labels_are_refused_by_name(map_):
    found = map_.unique().tolist()
    said = ", ".join(map(str, found)) if len(found) <= 8 else f"{len(found)} levels from {found[0]} to {found[-1]}"
    with pytest.raises(ImageError, match=re.escape(said)) as error:
        full_scale(map_, "nerves")
    assert "map 'nerves'" in str(error.value)
    assert "0 and 1" in str(error.value)


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_compressed_masks_are_grey(quality):
    buffer = io.BytesIO()
    DISC.save(buffer, "JPEG", quality=quality)
    map_ = tensor(Image.open(buffer))
    assert map_.unique().numel() > 2
    assert map_kind(map_) is MapKind.GREY
    assert full_scale(map_) is map_


def test_levels_close_to_black_and_white_are_grey():
    assert map_kind(levels(0, 3, 252, 255)) is MapKind.GREY
    assert map_kind(levels(1, 15, 240, 241)) is MapKind.GREY
    with pytest.raises(ImageError):
        map_kind(levels(0, 3, 12))  # nothing is near white


@pytest.mark.parametrize("side", [23, 32, 100])
def test_resized_masks_are_grey(side):
    for how in (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC):
        assert map_kind(tensor(DISC.resize((side, side), how))) is MapKind.GREY
    whole = tensor(DISC.resize((100, 100), Image.Resampling.NEAREST))
    assert map_kind(whole) is MapKind.BINARY


def test_a_mask_of_half_the_size_is_grey_with_five_levels():
    half = tensor(DISC.resize((32, 32), Image.Resampling.BOX))
    assert half.unique().numel() == 5  # known by where its levels are, not by their number
    assert map_kind(half) is MapKind.GREY


def test_grey_maps_are_grey():
    ramp = (torch.arange(64 * 64) % 256).to(torch.uint8).reshape(1, 64, 64)
    assert map_kind(ramp) is MapKind.GREY
    assert map_kind(ramp // 2) is MapKind.GREY
    assert map_kind(levels(*range(0, 65536, 2000), dtype=torch.uint16)) is MapKind.GREY
    assert map_kind(ramp.expand(3, -1, -1)) is MapKind.GREY
    large = torch.zeros(1, 1100, 1000, dtype=torch.uint8)  # more than one stretch of counting
    large[:, -64:, :64] = ramp
    assert map_kind(large) is MapKind.GREY
