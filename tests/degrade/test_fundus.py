"""Fundus: against an independent reference, its gradients, its independence of the batch, the resolution, the type."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

import degrade
from degrade import Parameters
from degrade.models.fundus.constants import TINTS, TYPES
from degrade.models.fundus.table import PARAMETERS, STAGE_BITS
from tests import reference
from tests.conftest import Apply


def photograph(size: int = 64, batch: int = 2, seed: int = 0) -> tuple[Tensor, Tensor]:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(seed, batch), size)
    return image, mask


def in_pixels(p: Parameters, name: str, scale: float = 512) -> list[float]:
    return (p[name][0].double() * scale).tolist()  # type: ignore[no-any-return]


def by_reference(image: np.ndarray, p: Parameters, mask: np.ndarray) -> np.ndarray:
    """The NumPy reference on one 512 x 512 image, with our parameters converted back to the release's."""

    def center(name: str) -> tuple[int, int]:
        x, y = (round(value - 0.5) for value in in_pixels(p, name))
        return x, y

    def one(name: str, scale: float = 1) -> float:
        return float(p[name][0]) * scale

    x = reference.colour(image, *(one(name) for name in ("brightness", "contrast", "saturation")))
    tint = next(i for i, t in enumerate(TINTS) if np.allclose(np.array(t) / 255, p["halo_color"][0]))
    column, row = center("halo_center")
    reach = 2 * max(column, 512 - column, row, 512 - row)
    # the drawn diameter is known through its radius and its kernel: an even number below it, and reach less it
    inner = min(2 * round(one("halo_inner", 512)) + 1.99, reach - round(one("halo_sigma", 512) * 1.5))
    x = reference.halo(x, tint, (column, row), inner, 2 * round(one("halo_outer", 512)))
    mean = x.sum() / (3 * mask.sum())
    amplitude = -(one("hole_depth") + one("hole_slope") * mean) if mean > 0.25 else 0.0
    width, height = (round(value) for value in in_pixels(p, "hole_kernel"))
    diameter = 2 * round(one("hole_radius", 512))
    x = reference.hole(x, center("hole_center"), diameter, amplitude, width, height, one("hole_sigma", 512))
    for i in range(int(p["spot_count"][0])):
        x = spot_by_reference(x, p, i)
    width, height = (round(value) for value in in_pixels(p, "blur_kernel"))
    return reference.blur(x, width, height, one("blur_sigma", 512)) * mask


def spot_by_reference(x: np.ndarray, p: Parameters, i: int) -> np.ndarray:
    column, row = (round(value - 0.5) for value in in_pixels(p, "spot_center")[i])
    width, height = (round(value) for value in in_pixels(p, "spot_kernel")[i])
    sigma = in_pixels(p, "spot_sigma")[i]
    radius = round((sigma / 2 - 5) / 20 * 25)
    item = {"center": (column, row), "radius": radius, "rad_w": width, "rad_h": height, "sigma": sigma}
    return reference.spots(x, [item])


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_reference(apply: Apply, seed: int) -> None:
    image, mask = photograph(512, 1, seed)
    d = degrade.recipe("cofe-net-paper", type="111", noise=0.0, exact=True, frame="image")
    p = d.draw(degrade.make_keys(seed, 1), 512, 512)
    expected = by_reference(image[0].double().numpy(), p, mask[0].double().numpy())
    got = apply(d, image.double(), p, mask)[0].numpy()
    assert np.abs(got - expected).max() < 1e-4


def test_reference_test_would_notice() -> None:
    """The planted defect: a thousandth of the brightness is more than the tolerance."""
    image, mask = photograph(512, 1)
    d = degrade.recipe("cofe-net", type="111", exact=True, frame="image")
    p = d.draw(degrade.make_keys(0, 1), 512, 512)
    wrong = {**p, "brightness": p["brightness"] * 1.001}
    expected = by_reference(image[0].double().numpy(), p, mask[0].double().numpy())
    got = d.apply(image.double(), wrong, mask)[0].numpy()
    assert np.abs(got - expected).max() > 1e-4


@pytest.mark.parametrize("recipe", ["cofe-net", "cofe-net-paper"])
@pytest.mark.parametrize("channels", [3, 1])
def test_both_paths_agree(recipe: str, channels: int) -> None:
    image, mask = photograph(200, 4)
    image = image[:, :channels]
    d = degrade.recipe(recipe, exact=True, type="111")
    p = d.draw(degrade.make_keys(3, 4), 200, 200)
    with degrade.backend("reference"):
        batched = d.apply(image, p, mask)
    assert (d.apply(image, p, mask) - batched).abs().max() < 1e-5
    interpolated = degrade.recipe(recipe).apply(image, p, mask)
    assert (interpolated - batched).abs().max() < 0.5 / 255


def test_white_stays_in_range(apply: Apply, interpreted: bool) -> None:
    """The weights of a blur add to one, but the rounded sum of their products does not."""
    d = degrade.recipe("cofe-net", type="100", frame="image")
    count = 6 if interpreted else 24
    image, mask = torch.ones(count, 3, 512, 60), torch.ones(count, 1, 512, 60)
    degraded = apply(d, image, d.draw(degrade.make_keys(0, count), 512, 60), mask)
    assert float(degraded.max()) <= 1
    assert float(degraded.min()) > 1 - 1e-6


# --- one idea: nothing but the key -------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 6),
    position=st.integers(0, 5),
    recipe=st.sampled_from(sorted(degrade.RECIPES)),
    shape=st.tuples(st.integers(32, 90), st.integers(32, 90)),
    seed=st.integers(-(2**63), 2**63 - 1),
)
def test_a_sample_is_the_same_alone_and_in_any_batch(
    batch: int, position: int, recipe: str, shape: tuple[int, int], seed: int
) -> None:
    position %= batch
    image = torch.rand(batch, 3, *shape, generator=torch.Generator().manual_seed(1))
    keys = degrade.make_keys(seed, [f"image {i}" for i in range(batch)])
    d = degrade.recipe(recipe)
    degraded, p = d.sample(image, keys)
    alone, q = d.sample(image[position : position + 1], degrade.make_keys(seed, [f"image {position}"]))
    assert torch.equal(degraded[position], alone[0])
    assert all(torch.equal(p[name][position], q[name][0]) for name in p)
    assert torch.equal(d.apply(image, p), degraded)  # replay


def test_the_batched_path_depends_on_the_key_alone() -> None:
    image, mask = photograph(64, 5)
    d = degrade.recipe("cofe-net-paper", softness=1 / 512)
    keys = degrade.make_keys(0, 5)
    with degrade.backend("reference"):
        together = d(image, keys, mask)
        for i in range(5):
            assert (d(image[i : i + 1], keys[i : i + 1], mask[i : i + 1])[0] - together[i]).abs().max() < 1e-6


@pytest.mark.parametrize("size", [(64, 64), (200, 312), (512, 512)])
def test_the_number_of_threads_changes_no_bit(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1))
    d, keys = degrade.recipe("cofe-net-paper", type="111"), degrade.make_keys(0, 2)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            results.append(d(image, keys))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*results)


def test_without_keys_torch_seeds_decide() -> None:
    image, mask = photograph()
    d = degrade.recipe("cofe-net")
    torch.manual_seed(0)
    first, second = d(image, mask=mask), d(image, mask=mask)
    torch.manual_seed(0)
    assert torch.equal(first, d(image, mask=mask))
    assert not torch.equal(first, second)


def test_the_image_is_never_changed_and_layouts_do_not_matter() -> None:
    image, mask = photograph(64, 2)
    d, keys = degrade.recipe("cofe-net-paper", type="111"), degrade.make_keys(0, 2)
    before, expected = image.clone(), d(image, keys, mask)
    assert torch.equal(image, before)
    for other in (
        image.to(memory_format=torch.channels_last),
        image.transpose(2, 3).contiguous().transpose(2, 3),
        image.repeat(1, 1, 1, 2)[..., :64],
        image.flip(0).flip(0),
    ):
        assert torch.equal(d(other, keys, mask), expected)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("recipe", sorted(degrade.RECIPES))
def test_other_dtypes(recipe: str, dtype: torch.dtype) -> None:
    image, mask = photograph(64, 3)
    keys = degrade.make_keys(0, 3)
    expected = degrade.recipe(recipe)(image.to(dtype).float(), keys, mask)
    got = degrade.recipe(recipe)(image.to(dtype), keys, mask)
    assert got.dtype == dtype
    assert got.isfinite().all()
    assert (got.float() - expected).abs().max() < {torch.float64: 1e-5}.get(dtype, 1e-2)


@pytest.mark.parametrize("recipe", sorted(degrade.RECIPES))
def test_grey_images(recipe: str, apply: Apply) -> None:
    image, mask = photograph(64, 2)
    d = degrade.recipe(recipe)
    p = d.draw(degrade.make_keys(0, 2), 64, 64)
    got = apply(d, image[:, 1:2], p, mask)
    assert got.shape == (2, 1, 64, 64)
    assert (got - image[:, 1:2]).abs().max() > 0.01


# --- the types -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", TYPES)
def test_a_type_is_what_its_digits_say(code: str, apply: Apply) -> None:
    image, _ = photograph(64, 2)
    everywhere = torch.ones(2, 1, 64, 64)
    d = degrade.recipe("cofe-net", type=code, exact=True)
    p = d.draw(degrade.make_keys(1, 2), 64, 64)
    by_hand = image
    for stage, bit in STAGE_BITS.items():
        if p["type"][0] & bit:
            alone = {**PARAMETERS.only(p, stage), "type": torch.full_like(p["type"], bit)}
            by_hand = apply(d, by_hand, alone, everywhere)
    assert (apply(d, image, p, everywhere) - by_hand).abs().max() < 1e-5


def test_random_types_have_equal_chances_and_planted_bias_is_seen() -> None:
    p = degrade.recipe("cofe-net").draw(degrade.make_keys(0, 7000), 512, 512)
    counts = torch.bincount(p["type"], minlength=8)[1:].double()

    def chi_square(counts: Tensor) -> float:
        expected = counts.sum() / 7
        return float(((counts - expected) ** 2 / expected).sum())

    threshold = 22.46  # the 0.999 quantile for 6 degrees of freedom: one false alarm in a thousand
    assert chi_square(counts) < threshold
    biased = torch.where(p["type"] == 7, torch.where(torch.arange(7000) % 4 == 0, 6, 7), p["type"])
    assert chi_square(torch.bincount(biased, minlength=8)[1:].double()) > threshold


# --- any resolution ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(512, 512), (512, 768), (640, 512)])
def test_parameters_do_not_depend_on_the_resolution(shape: tuple[int, int]) -> None:
    d, keys = degrade.recipe("cofe-net-paper"), degrade.make_keys(0, 64)
    base = d.draw(keys, *shape)
    for factor in (2, 4):
        other = d.draw(keys, factor * shape[0], factor * shape[1])
        assert all(torch.equal(base[name], other[name]) for name in base)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("code", ["001", "010", "100", "111"])
def test_degrading_and_shrinking_commute(code: str, factor: int) -> None:
    large, mask = photograph(256 * factor, 2)
    small, small_mask = functional.avg_pool2d(large, factor), functional.avg_pool2d(mask, factor)
    keys = degrade.make_keys(0, 2)
    d = degrade.recipe("cofe-net-paper", type=code)
    inside = -functional.max_pool2d(-(small_mask == 1).float(), 9, 1, 4)
    difference = functional.avg_pool2d(d(large, keys, mask), factor) - d(small, keys, small_mask)
    assert (difference * inside).abs().mean() < 1.2 / 255
    assert (difference * inside).mean().abs() < 0.3 / 255


def test_spots_are_equally_bright_at_every_resolution() -> None:
    """The released formula, in pixels, makes dark spots above 512."""
    d = degrade.recipe("cofe-net", type="010", spot_count=10)
    heights = []
    for size in (256, 512, 1024, 2048):
        image = torch.full((1, 3, size, size), 0.3)
        degraded = d(image, degrade.make_keys(0, 1), torch.ones(1, 1, size, size))
        assert degraded.min() >= 0.3 - 1e-6
        heights.append(float(degraded.max()) - 0.3)
    assert max(heights) - min(heights) < 0.01
    assert min(heights) > 0.1


# --- what it refuses -----------------------------------------------------------------------------------------------


def test_refusals_name_what_is_wrong() -> None:
    d = degrade.recipe("cofe-net")
    with pytest.raises(TypeError, match="float tensor"):
        d(torch.zeros(1, 3, 64, 64, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\(1, 3, 16, 64\)"):
        d(torch.zeros(1, 3, 16, 64))
    with pytest.raises(ValueError, match=r"spans \[0, 2\]"):
        d(torch.tensor([0.0, 2.0]).repeat(1, 3, 64, 32))
    with pytest.raises(ValueError, match="nan"):
        d(torch.full((1, 3, 64, 64), math.nan))
    with pytest.raises(ValueError, match="mask"):
        d(torch.zeros(1, 3, 64, 64), mask=torch.ones(1, 64, 64))
    with pytest.raises(ValueError, match="one key per image"):
        d(torch.zeros(2, 3, 64, 64), degrade.make_keys(0, 3))
    with pytest.raises(ValueError, match="brightness"):
        d.apply(torch.zeros(1, 3, 64, 64), {"type": torch.tensor([7])})


def test_module_apply_still_works() -> None:
    seen: list[str] = []
    torch.nn.Sequential(degrade.recipe("cofe-net")).apply(lambda module: seen.append(type(module).__name__))
    assert seen == ["Fundus", "Sequential"]
