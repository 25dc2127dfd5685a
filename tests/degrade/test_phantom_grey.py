"""Phantom radiographs and micrographs: shapes, masks, grey levels, and that a key is one picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from degrade import phantom
from degrade.images import image_io
from degrade.rng import keyed
from degrade.stream import SourceError, open_source

Draw = Callable[[Tensor, int], tuple[Tensor, Tensor]]
KEYS = keyed.make_keys(11, 6)


def film(keys: Tensor, size: int) -> tuple[Tensor, Tensor]:
    return phantom.chest(keys, size, film=True)


BOTH = pytest.mark.parametrize("draw", [phantom.chest, phantom.cornea, film])


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


def test_a_film_has_what_the_plain_phantom_lacks() -> None:
    """Fine texture, other greys from film to film, and the same lungs."""
    keys = keyed.make_keys(3, 12)
    (plain, lungs), (films, same) = phantom.chest(keys, 256), film(keys, 256)
    assert torch.equal(lungs, same)

    def fine(image: Tensor) -> Tensor:
        return (image - F.avg_pool2d(image, 3, 1, 1))[:, :, 2:-2, 2:-2].square().mean((1, 2, 3)).sqrt()

    assert (fine(films) > fine(plain)).float().mean() > 0.75
    assert films.mean((1, 2, 3)).std() > 1.5 * plain.mean((1, 2, 3)).std()
    inside = (films * lungs).sum((1, 2, 3)) / lungs.sum((1, 2, 3))
    assert (inside < ((films * (1 - lungs)).sum((1, 2, 3)) / (1 - lungs).sum((1, 2, 3)))).float().mean() > 0.75


def test_a_plain_chest_stays_the_picture_it_was() -> None:
    """Runs, manifests and tables name phantoms by their keys; the figures are those of version 0.2."""
    image = phantom.chest(keyed.make_keys(0, 1), 64)[0]
    assert image[0, 0, 32, ::16].tolist() == pytest.approx([0.6774, 0.3546, 0.8308, 0.318], abs=2e-4)


@pytest.mark.slow
@BOTH
@pytest.mark.parametrize(("large", "small"), [(512, 256), (1024, 512)])
def test_another_size_is_the_same_picture(draw: Draw, large: int, small: int) -> None:
    (image, mask), (image_small, mask_small) = draw(KEYS[:2], large), draw(KEYS[:2], small)
    assert (F.avg_pool2d(image, 2) - image_small).abs().mean() < (0.03 if draw is phantom.cornea else 0.006)
    assert (F.max_pool2d(mask, 5, 2, 2) * mask_small).sum() / mask_small.sum() > 0.97


@BOTH
def test_refusals(draw: Draw) -> None:
    with pytest.raises(ValueError, match="size must be at least 32; got 31"):
        draw(KEYS, 31)
    with pytest.raises(ValueError, match="keys must have shape"):
        draw(KEYS[None], 64)
    with pytest.raises(TypeError, match="int64"):
        draw(KEYS.float(), 64)


def test_films_as_a_source() -> None:
    source, plain = (open_source(f"phantom:chest?count=2&size=64{option}") for option in ("&film=1", ""))
    image = source.load(1)["image"]
    assert torch.equal(image, image_io.to_integer(film(keyed.make_keys(0, torch.tensor([1])), 64)[0][0]))
    assert not torch.equal(image, plain.load(1)["image"])
    assert source.title != plain.title
    for wrong, message in (("fundus?film=1", "of chests, not of fundus"), ("chest?film=2", "at most 1")):
        with pytest.raises(SourceError, match=message):
            open_source(f"phantom:{wrong}")
