"""Recipes fitted to sets: planted ranges are found, what cannot be known is not claimed, bad sets are refused."""

from __future__ import annotations

import functools
import math

import pytest
import torch

import degrade
from degrade.fit.nearest import SetDistance
from degrade.fit.recipe import fit_recipe
from degrade.fit.sets import SetError, prepare
from degrade.fit.simulate import Pictures, numbers_drawn
from degrade.fit.space import Space

SIZE = 64
START = degrade.recipe("cofe-net-paper", type="001", halo_strength=0, hole_depth=0, hole_slope=0)


@functools.cache
def eyes() -> Pictures:
    """72 of 18 phantoms: each as it is, mirrored, and darker; the first and the second half have other phantoms."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 18), SIZE)
    halves = []
    for own, inside in zip(image.split(9), mask.split(9), strict=True):
        both, masks = torch.cat([own, own.flip(3)]), torch.cat([inside, inside.flip(3)])
        halves.append((torch.cat([both, 0.85 * both.flip(2)]), torch.cat([masks, masks.flip(2)])))
    return Pictures(torch.cat([half[0] for half in halves]), torch.cat([half[1] for half in halves]))


def phantoms(count: int, half: int) -> Pictures:
    """Eyes of the first half or of the second."""
    return eyes().take(torch.arange(36 * half, 36 * half + count))


@pytest.mark.slow
def test_a_planted_range_is_found():
    truth = degrade.recipe(START.to_toml(), brightness=(0.35, 0.6), contrast=1.0)
    poor = phantoms(36, 1)
    poor = Pictures(truth(poor.images, degrade.make_keys(5, 36), poor.masks), poor.masks)
    fit = fit_recipe(phantoms(36, 0), poor, START, settings=["brightness"], sets=40, rounds=2, search=0)
    low, high = fit.recipe.settings["brightness"]
    assert low == pytest.approx(0.35, abs=0.12)
    assert high == pytest.approx(0.6, abs=0.15)
    assert all(number.identified for number in fit.numbers)
    assert fit.after.energy < 0.5 * fit.before.energy
    assert fit.after.auc < fit.before.auc
    assert degrade.recipe(fit.recipe.to_toml()).settings == fit.recipe.settings


@pytest.mark.slow
def test_what_acts_nowhere_is_not_identified():
    poor = phantoms(18, 1)
    fit = fit_recipe(phantoms(18, 0), poor, START, settings=["spot_radius"], sets=40, rounds=1, search=0)
    assert not any(number.identified for number in fit.numbers)
    assert fit.recipe.settings["spot_radius"] == START.settings["spot_radius"]
    assert any("identified" in warning for warning in fit.warnings)
    again = fit_recipe(phantoms(18, 0), poor, START, settings=["spot_radius"], sets=40, rounds=1, search=0)
    assert again.numbers == fit.numbers


@pytest.mark.slow
def test_out_of_reach_is_said():
    poor = phantoms(30, 1)
    green = Pictures(poor.images * torch.tensor([0.2, 1.5, 0.2]).view(3, 1, 1), poor.masks)
    clipped = Pictures(green.images.clamp(0, 1), green.masks)
    fit = fit_recipe(phantoms(30, 0), clipped, START, settings=["brightness"], sets=40, rounds=1, search=20)
    assert any("no intervals" in warning for warning in fit.warnings)
    assert all(math.isnan(number.low) for number in fit.numbers)
    assert any("cannot reach" in warning and "red" in warning for warning in fit.warnings)


@pytest.mark.slow
def test_a_search_has_intervals_by_bootstrap():
    poor = phantoms(24, 1)
    tinted = Pictures((poor.images * torch.tensor([0.2, 1.5, 0.2]).view(3, 1, 1)).clamp(0, 1), poor.masks)
    told = []
    fit = fit_recipe(
        phantoms(24, 0), tinted, START, settings=["brightness"], sets=40, rounds=1, search=16, bootstrap=10,
        progress=lambda name, done, total: told.append((name, done, total)),
    )  # fmt: skip
    assert [number for name, *number in told if name == "bootstrap"] == [[n, 10] for n in range(1, 11)]
    for number in fit.numbers:
        assert number.low < number.high
        assert number.low - 0.1 < number.after < number.high + 0.1
    assert any("intervals say how well" in warning for warning in fit.warnings)


def test_resampled_sets_are_drawn_with_replacement():
    good, poor = phantoms(12, 0), phantoms(12, 1)
    whole = SetDistance.of(Space.of(START, ["brightness"]), good, poor.describe())
    start, spread = whole.space.vector(), set()
    for number in range(4):
        again = whole.resampled(number)
        assert all(any(torch.equal(row, other) for other in whole.real) for row in again.real)
        assert all(any(torch.equal(image, other) for other in good.images) for image in again.good.images)
        assert 1 < len({tuple(row) for row in again.real.tolist()}) < 12
        assert again(start) == whole.resampled(number)(start)
        spread.add(again(start))
    assert len(spread) == 4


def test_vectors_and_recipes_are_each_others_inverse():
    space = Space.of("cofe-net-paper")
    vector = space.vector()
    assert torch.allclose(space.vector(space.recipe(vector)), vector)
    assert space.settings(vector)["brightness"] == pytest.approx((0.5, 1.5))
    drawn = space.prior(200, torch.Generator().manual_seed(0))
    for row in drawn[:20]:
        space.recipe(row)
    widths = drawn[:, 1] - drawn[:, 0]
    assert 0.5 <= widths.min() < 0.6
    assert 1.8 < widths.max() <= 2.0
    away = (drawn - vector).abs().amax(0)
    assert (2 * away <= 1.01 * space.prior_widths() + 1).all()


def test_vectors_leave_their_limits_for_nothing():
    space = Space.of("cofe-net-paper", ["noise", "spot_count"])
    found = space.settings(torch.tensor([-9.0, -8.0, 50.0, 3.0]))
    assert found["noise"] == 0.0
    assert found["spot_count"] == 64.0


def test_numbers_of_images_are_those_drawn():
    recipe = degrade.recipe("cofe-net", type="010", spot_count=3)
    parameters = recipe.draw(degrade.make_keys(0, 5), 64, 64)
    drawn = numbers_drawn(recipe, parameters)
    column = dict(zip(drawn.names, drawn.values.T, strict=True))
    assert column["spot_count"].tolist() == [3] * 5
    assert torch.allclose(column["spot_radius"].float(), parameters["spot_radius"][:, :3].mean(1))
    assert column["stage.spots"].tolist() == [1] * 5
    assert drawn.acted[:, drawn.names.index("brightness")].sum() == 0
    assert drawn.stages[drawn.names.index("brightness")] == "stage.illumination"


def test_bad_sets_are_refused_or_warned_of():
    image = torch.nn.functional.interpolate(eyes().images[:14], (96, 96), mode="bilinear")
    black = torch.zeros(3, 96, 96)
    with pytest.raises(SetError, match=r"3 usable images; at least 12 .* left out: all black"):
        prepare([*image[:3], black, black], 3, SIZE)
    pictures, warnings = prepare([*image, black, torch.rand(1, 96, 96)], 3, SIZE, what="poor images")
    assert len(pictures) == 14
    assert pictures.images.shape == (14, 3, SIZE, SIZE)
    text = "; ".join(warnings)
    for words in ("1 of the poor images left out: all black", "not a color image", "14 poor images are few"):
        assert words in text
    small, warnings = prepare(image, 3, 128)
    assert any("smaller than 128" in warning for warning in warnings)
    assert small.images.shape[-1] == 128


def test_refusals():
    good = phantoms(12, 0)
    with pytest.raises(ValueError, match="sets = 8"):
        fit_recipe(good, good, START, sets=8)
    with pytest.raises(ValueError, match="rounds = 0"):
        fit_recipe(good, good, START, rounds=0)
    with pytest.raises(ValueError, match="bootstrap = 9: 0, or at least 10"):
        fit_recipe(good, good, START, bootstrap=9)
    grey = Pictures(good.images[:, :1], good.masks)
    with pytest.raises(ValueError, match="differ"):
        fit_recipe(good, grey, START)
    with pytest.raises(ValueError, match="brihtness"):
        Space.of("cofe-net", ["brihtness"])
