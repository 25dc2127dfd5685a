"""Phantom radiographs and micrographs: shapes, masks, grey levels, and that a key is one picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from degrade import phantom
from degrade.rng import keyed

Draw = Callable[[Tensor, int], tuple[Tensor, Tensor]]
KEYS = keyed.make_keys(11, 6)
BOTH = pytest.mark.parametrize("draw", [phantom.chest, phantom.cornea])


@BOTH
@pytest.mark.parametrize("size", [32, 45, 128])
def test_shapes_ranges_dtypes(draw: Draw, size: int) -> None:
    planes = draw(KEYS[:2], size)
    for plane in planes:
        assert plane.shape == (2, 1, size, size)
        assert plane.dtype == torch.float32
        assert plane.is_contiguous()
        assert plane.min() >= 0
        assert plane.max() <= 1
    assert set(planes[1].unique().tolist()) == {0.0, 1.0}


@BOTH
def test_no_keys_no_pictures(draw: Draw) -> None:
    assert [plane.shape for plane in draw(KEYS[:0], 64)] == [(0, 1, 64, 64)] * 2


@BOTH
def test_a_picture_depends_on_its_key_alone(draw: Draw) -> None:
    state = torch.get_rng_state()
    whole, again = draw(KEYS, 192), draw(KEYS[[4, 1]], 192)
    assert torch.equal(torch.get_rng_state(), state)
    for plane, other in zip(whole, again, strict=True):
        assert torch.equal(plane[[4, 1]], other)


@BOTH
def test_keys_differ(draw: Draw) -> None:
    image, mask = draw(KEYS, 128)
    for i in range(len(KEYS)):
        for j in range(i):
            assert (image[i] - image[j]).abs().mean() > 0.02
            assert not torch.equal(mask[i], mask[j])


@pytest.mark.parametrize(
    ("draw", "grey", "share"),
    [(phantom.chest, (0.42, 0.68), (0.18, 0.42)), (phantom.cornea, (0.14, 0.4), (0.015, 0.16))],
)
@pytest.mark.parametrize("size", [96, 384])
def test_greys_and_masks_are_plausible(
    draw: Draw, grey: tuple[float, float], share: tuple[float, float], size: int
) -> None:
    image, mask = draw(keyed.make_keys(5, 12), size)
    for plane, (low, high) in ((image, grey), (mask, share)):
        means = plane.mean((1, 2, 3))
        assert means.min() > low
        assert means.max() < high


def test_lungs_are_dark_and_nerves_bright() -> None:
    for draw, sign in ((phantom.chest, -1), (phantom.cornea, 1)):
        image, mask = draw(KEYS, 256)
        inside = (image * mask).sum((1, 2, 3)) / mask.sum((1, 2, 3))
        outside = (image * (1 - mask)).sum((1, 2, 3)) / (1 - mask).sum((1, 2, 3))
        assert (sign * (inside - outside)).min() > 0.08


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize(("large", "small"), [(512, 256), (1024, 512)])
def test_another_size_is_the_same_picture(draw: Draw, large: int, small: int) -> None:
    (image, mask), (image_small, mask_small) = draw(KEYS[:2], large), draw(KEYS[:2], small)
    assert (F.avg_pool2d(image, 2) - image_small).abs().mean() < (0.006 if draw is phantom.chest else 0.03)
    assert (F.max_pool2d(mask, 5, 2, 2) * mask_small).sum() / mask_small.sum() > 0.97


@BOTH
def test_refusals(draw: Draw) -> None:
    with pytest.raises(ValueError, match="size must be at least 32; got 31"):
        draw(KEYS, 31)
    with pytest.raises(ValueError, match="keys must have shape"):
        draw(KEYS[None], 64)
    with pytest.raises(TypeError, match="int64"):
        draw(KEYS.float(), 64)
