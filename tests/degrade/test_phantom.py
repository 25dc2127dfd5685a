"""Phantom fundus photographs: their shapes, their masks, and that a key is one eye whatever surrounds it."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from degrade import fov, phantom
from degrade.phantom import vessels
from degrade.rng import keyed

KEYS = keyed.make_keys(11, 6)


@pytest.fixture(scope="module")
def eyes() -> tuple[Tensor, Tensor, Tensor]:
    return phantom.fundus(KEYS, 256)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """(B,) intersection over union of two (B, 1, H, W) masks."""
    return (a * b).sum((1, 2, 3)) / torch.maximum(a, b).sum((1, 2, 3))


@pytest.mark.parametrize("size", [32, 45, 128])
def test_shapes_ranges_dtypes(size: int) -> None:
    image, tree, field = phantom.fundus(KEYS[:2], size)
    assert image.shape == (2, 3, size, size)
    assert tree.shape == field.shape == (2, 1, size, size)
    for plane in (image, tree, field):
        assert plane.dtype == torch.float32
        assert plane.is_contiguous()
        assert plane.min() >= 0
        assert plane.max() <= 1
    for mask in (tree, field):
        assert set(mask.unique().tolist()) == {0.0, 1.0}


def test_no_keys_no_eyes() -> None:
    assert [plane.shape[0] for plane in phantom.fundus(KEYS[:0], 64)] == [0, 0, 0]


def test_a_picture_depends_on_its_key_alone(eyes: tuple[Tensor, Tensor, Tensor]) -> None:
    state = torch.get_rng_state()
    again = phantom.fundus(KEYS[[4, 1]], 256)
    assert torch.equal(torch.get_rng_state(), state)
    for plane, other in zip(eyes, again, strict=True):
        assert torch.equal(plane[[4, 1]], other)


def test_keys_differ(eyes: tuple[Tensor, Tensor, Tensor]) -> None:
    image, tree, _ = eyes
    for i in range(len(KEYS)):
        for j in range(i):
            assert (image[i] - image[j]).abs().mean() > 0.02
            assert iou(tree[i : i + 1], tree[j : j + 1]) < 0.5


@pytest.mark.parametrize("size", [96, 256, 512])
def test_vessels_cover_what_they_do_in_an_eye(size: int) -> None:
    _, tree, field = phantom.fundus(KEYS, size)
    assert bool((tree <= field).all())
    share = tree.sum((1, 2, 3)) / field.sum((1, 2, 3))
    assert share.min() > 0.04
    assert share.max() < 0.16


def test_vessels_are_darker_than_their_surroundings(eyes: tuple[Tensor, Tensor, Tensor]) -> None:
    image, tree, field = eyes
    green = image[:, 1:2]
    inside = -F.max_pool2d(-F.pad(field, (6,) * 4), 13, 1)
    around = F.avg_pool2d(green, 25, 1, 12)
    contrast = ((green - around) / around.clamp(min=0.01) * tree * inside).sum((1, 2, 3))
    assert (contrast / (tree * inside).sum((1, 2, 3))).max() < -0.08


def test_the_colours_are_a_fundus(eyes: tuple[Tensor, Tensor, Tensor]) -> None:
    red, green, blue = eyes[0][..., 86:170, 86:170].mean((2, 3)).unbind(1)
    assert bool(((red > 0.45) & (red < 0.9)).all())
    assert bool(((green / red > 0.35) & (green / red < 0.7)).all())
    assert bool(((blue / green > 0.35) & (blue / green < 0.8)).all())


@pytest.mark.slow
@pytest.mark.parametrize(("large", "small"), [(512, 256), (1024, 512)])
def test_another_size_is_the_same_picture(large: int, small: int) -> None:
    image, tree, field = phantom.fundus(KEYS[:2], large)
    image_small, tree_small, field_small = phantom.fundus(KEYS[:2], small)
    shrunk = F.avg_pool2d(image, 2)
    assert (shrunk - image_small).abs().mean() < 0.004
    assert (shrunk - image_small).square().mean().sqrt() < 0.012
    assert iou((F.avg_pool2d(field, 2) > 0.5).float(), field_small).min() > 0.995
    assert (F.max_pool2d(tree, 5, 2, 2) * tree_small).sum() / tree_small.sum() > 0.97


@pytest.mark.parametrize("size", [128, 512])
def test_the_field_is_the_one_that_is_estimated(size: int) -> None:
    image, _, field = phantom.fundus(KEYS, size)
    assert iou(fov.estimate(image), field).min() > 0.97


def test_both_eyes_and_both_frames_occur() -> None:
    image, _, field = phantom.fundus(keyed.make_keys(3, 24), 128)
    disc = image[:, 1, :, :]
    on_the_left = disc.flatten(1).argmax(1) % 128 < 64
    assert 4 < int(on_the_left.sum()) < 20
    # a disk is as high as wide; one that is cut off is not
    height, width = field.amax(3).sum((1, 2)), field.amax(2).sum((1, 2))
    assert 4 < int((height < 0.97 * width).sum()) < 20


def test_refusals() -> None:
    with pytest.raises(ValueError, match="size must be at least 32; got 31"):
        phantom.fundus(KEYS, 31)
    with pytest.raises(ValueError, match="keys must have shape"):
        phantom.fundus(KEYS[None], 64)
    with pytest.raises(TypeError, match="int64"):
        phantom.fundus(KEYS.float(), 64)


def test_a_drawn_segment_is_as_wide_as_it_is_thick() -> None:
    depth, _, mask = vessels.draw([(0.25, 0.5, 0.03, 0.75, 0.5, 0.03, vessels.VEIN)], 200)
    assert int(mask[:, 100].sum()) == 12
    assert float(depth[vessels.VEIN, :, 100].gt(0).sum()) == pytest.approx(12, abs=2)
    assert depth[vessels.ARTERY].max() == 0
    assert vessels.draw([], 32)[2].max() == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_keys_on_a_device_give_the_same_picture_there(eyes: tuple[Tensor, Tensor, Tensor]) -> None:
    on_device = phantom.fundus(KEYS[:1].cuda(), 256)
    for plane, other in zip(eyes, on_device, strict=True):
        assert other.is_cuda
        assert torch.equal(plane[:1], other.cpu())


def test_nothing_heavy_is_imported() -> None:
    code = "import sys, degrade.fov, degrade.phantom; print({'PIL', 'kornia', 'scipy'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
