"""Whole images and tiles through a network: size, depth and surround are kept, seams do not show."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import degrade
import enhance
from degrade.images import image_io
from enhance.baselines import baseline
from enhance.inference import enhance_batch, enhance_image


class Local(nn.Module):
    """A blur of 5 x 5 pixels, brightened: what it gives for a pixel depends on its neighbours alone."""

    def enhance(self, image, mask=None):
        padded = nn.functional.pad(image, (2, 2, 2, 2), mode="replicate")
        return (nn.functional.avg_pool2d(padded, 5, 1) * 1.2).clamp(0, 1)


@pytest.fixture(scope="module")
def networks():
    torch.manual_seed(0)
    widths = {
        "pcenet": {"width": 4},
        "zhao": {"width": 4, "blocks": 1},
        "xbdcnn": {"width": 4, "level_width": 4},
    }
    return {name: enhance.network(name, **options).eval() for name, options in widths.items()}


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32, torch.float64])
@pytest.mark.parametrize(("height", "width"), [(61, 97), (128, 64)])
def test_size_and_type_are_kept(networks, dtype, height, width):
    image = torch.rand(3, height, width)
    if not dtype.is_floating_point:
        image = image_io.to_integer(image, 16 if dtype == torch.uint16 else 8)
    image = image.to(dtype)
    for options in ({}, {"size": 64}, {"tile": 48, "overlap": 16}):
        enhanced = enhance_image(networks["pcenet"], image, **options)
        assert enhanced.shape == image.shape
        assert enhanced.dtype == dtype
        assert not torch.equal(enhanced, image)


def test_sixteen_bits_are_more_than_eight():
    """A network that changes nothing gives back every one of 65,536 levels."""
    image = torch.arange(65536).view(1, 256, 256).to(torch.uint16)
    assert torch.equal(enhance_image(baseline("identity"), image), image)
    assert torch.equal(enhance_image(baseline("identity"), image, tile=100, overlap=30), image)


def test_the_surround_is_kept(networks):
    image, _, fov = degrade.phantom.fundus(degrade.make_keys(3, 1), 96)
    whole = image_io.to_integer(image[0])
    whole[:, :6, :6] = 200  # a burned-in mark outside the field of view
    enhanced = enhance_image(networks["pcenet"], whole, field_of_view=lambda work: fov)
    outside = fov[0].expand(3, -1, -1) == 0
    assert torch.equal(enhanced[outside], whole[outside])
    assert not torch.equal(enhanced[~outside], whole[~outside])
    assert torch.equal(
        enhance_image(networks["pcenet"], whole, field_of_view=degrade.fov.estimate)[:, :6, :6], whole[:, :6, :6]
    )


@pytest.mark.parametrize(("tile", "overlap"), [(64, 16), (50, 20), (97, 0), (40, 30)])
def test_tiles_of_a_local_network_are_the_whole(tile, overlap):
    image = torch.rand(2, 3, 150, 97)
    whole = Local().enhance(image)
    tiled = enhance_batch(Local(), image, tile=tile, overlap=overlap)
    if overlap == 0:
        assert (tiled - whole).abs().max() > 0.01  # without overlap the seams are as wide as the kernel
        return
    assert torch.allclose(tiled, whole, atol=1e-6)
    assert torch.allclose(enhance_batch(baseline("identity"), image, tile=tile, overlap=overlap), image, atol=1e-6)


def test_seams_of_a_real_network_are_blended(networks):
    image = degrade.phantom.fundus(degrade.make_keys(1, 1), 160)[0]
    with torch.no_grad():
        blended, cut = (enhance_batch(networks["pcenet"], image, tile=96, overlap=overlap) for overlap in (64, 0))

    def step(enhanced, column):
        return float((enhanced[..., column] - enhanced[..., column - 1]).abs().mean())

    assert step(blended, 96) < step(cut, 96)


def test_a_network_that_does_not_fit_is_given_tiles():
    class Small(Local):
        def enhance(self, image, mask=None):
            if max(image.shape[-2:]) > 150:
                raise torch.OutOfMemoryError("too large")
            return super().enhance(image, mask)

    image = torch.rand(1, 3, 400, 300)
    tiled = enhance_batch(Small(), image)
    assert tiled.shape == image.shape
    assert torch.allclose(tiled, Local().enhance(image), atol=1e-6)

    class Never(Local):
        def enhance(self, image, mask=None):
            raise torch.OutOfMemoryError("too large")

    with pytest.raises(torch.OutOfMemoryError):
        enhance_batch(Never(), image)


def test_grey_images_for_colour_networks_and_the_other_way_round(networks):
    grey = image_io.to_integer(torch.rand(1, 64, 64))
    assert enhance_image(networks["pcenet"], grey).shape == (1, 64, 64)
    with pytest.raises(ValueError, match="color image for a network of grey"):
        enhance_image(networks["xbdcnn"], grey.expand(3, -1, -1))


def test_mixed_precision_is_close(networks):
    image = degrade.phantom.chest(degrade.make_keys(0, 1), 64)[0][0]
    exact = enhance_image(networks["xbdcnn"], image)
    mixed = enhance_image(networks["xbdcnn"], image, precision="bf16")
    assert 0 < float((exact - mixed).abs().max()) < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "8"}, "precision = '8': allowed is one of 32, bf16, 16"),
        ({"tile": 32, "overlap": 32}, "overlap = 32 of tiles of 32 pixels: from 0 to 31"),
        ({"size": 0}, "size must be at least 1"),
    ],
)
def test_arguments_that_are_not_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        enhance_image(Local(), torch.rand(3, 64, 64), **options)
    with pytest.raises(ValueError, match=r"\(C, H, W\)"):
        enhance_image(Local(), torch.rand(1, 3, 64, 64))
