"""Pairs whose parameters are known: what acts is found again, and what the pair does not tell is said."""

from __future__ import annotations

import pytest
import torch

import degrade
from degrade import fov
from degrade.fit.pair import PairError, PairFit, fit_pair
from degrade.fit.pair_align import align, move
from degrade.fit.pair_quantities import effective


@pytest.fixture(scope="module")
def phantom() -> tuple[torch.Tensor, torch.Tensor]:
    clean, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 1), 96)
    return clean, mask


def rounded(image: torch.Tensor) -> torch.Tensor:
    return (255 * image).round() / 255


@pytest.fixture(scope="module")
def lit(phantom) -> tuple[PairFit, degrade.Parameters]:
    """A fit of illumination alone."""
    clean, mask = phantom
    recipe = degrade.recipe("cofe-net", type="001")
    degraded, truth = recipe.sample(clean, degrade.make_keys(5, 1), mask)
    return fit_pair(clean, rounded(degraded), recipe, mask), truth


@pytest.mark.slow
def test_light_is_found_again(lit, phantom):
    fit, truth = lit
    clean, mask = phantom
    square, inside, _ = fov.crop(clean, mask)
    true = effective(square, inside, truth)
    told = {q.name: q for q in fit.quantities if q.identified}
    assert {"brightness", "saturation", "hole_x", "hole_y", "hole_amplitude"} <= set(told)
    for q in told.values():
        value = float(true[q.name][0])
        assert abs(q.value - value) <= (0.02 if q.is_place else 0.05 * abs(value)), q
    assert fit.explained > 0.999
    assert fit.grey_levels < 1 < fit.change
    assert not fit.alignment.moved
    assert not fit.warnings


def test_what_the_pair_does_not_tell_is_said(lit):
    """Rims outside the field of view: any radius explains the picture, and the error says so."""
    outer = next(q for q in lit[0].quantities if q.name == "halo_outer_rim")
    assert not outer.identified
    assert outer.error > 0.05


def test_the_residual_is_what_the_parameters_leave(lit, phantom):
    fit, _ = lit
    clean, mask = phantom
    made = fit.recipe.apply(clean, fit.parameters, mask)
    assert torch.equal(made, fit.fitted)
    assert torch.equal(fit.residual, (fit.degraded - made) * fit.compared)


@pytest.mark.slow
def test_stages_that_do_not_act_are_left_out(phantom):
    clean, mask = phantom
    recipe = degrade.recipe("cofe-net", blur_sigma=(0.02, 0.04), blur_kernel=(0.8, 1.2))
    degraded, _ = degrade.recipe(recipe.to_toml(), type="100").sample(clean, degrade.make_keys(1, 1), mask)
    fit = fit_pair(clean, rounded(degraded), recipe, mask)
    assert fit.type == "100"
    assert fit.explained > 0.98


def test_spots_are_found_where_they_are(phantom):
    clean, mask = phantom
    recipe = degrade.recipe("cofe-net", type="010", spot_count=3, spot_radius=(0.03, 0.06))
    degraded, truth = recipe.sample(clean, degrade.make_keys(2, 1), mask)
    fit = fit_pair(clean, rounded(degraded), recipe, mask)
    for center in truth["spot_center"][0, :3]:
        x, y = (center * 95).round().long().tolist()
        if mask[0, 0, y, x]:
            assert float((fit.parameters["spot_center"][0] - center).norm(dim=1).min()) < 0.02
    assert fit.grey_levels < 1


@pytest.mark.slow
def test_moved_frames_are_laid_back(phantom):
    clean, mask = phantom
    recipe = degrade.recipe("cataract")
    degraded, truth = recipe.sample(clean, degrade.make_keys(3, 1), mask)
    moved = move(degraded, -0.03, 0.02, 1 / 1.02).clamp(0, 1)
    fit = fit_pair(clean, moved, recipe, mask)
    assert fit.alignment.moved
    assert fit.alignment.x == pytest.approx(0.03 * 1.02, abs=3e-3)
    assert fit.alignment.y == pytest.approx(-0.02 * 1.02, abs=3e-3)
    assert fit.alignment.scale == pytest.approx(1.02, abs=5e-3)
    assert float((fit.parameters["veil"] - truth["veil"]).abs()) < 0.05
    assert not any(q.identified for q in fit.quantities if q.name.startswith("blur"))
    left_alone = fit_pair(clean, moved, recipe, mask, align_frames=False)
    assert left_alone.explained < fit.explained


def test_frames_that_lie_on_each_other_stay():
    clean, _, mask = degrade.phantom.fundus(degrade.make_keys(1, 2), 128)
    degraded = degrade.recipe("cofe-net", type="111")(clean, degrade.make_keys(5, 2), mask)
    for k in range(2):
        frame, lay = align(clean[k : k + 1], degraded[k : k + 1], mask[k : k + 1])
        assert not lay.moved
        assert torch.equal(frame, degraded[k : k + 1])


def test_another_recipe_explains_little(phantom):
    clean, mask = phantom
    stripes = (torch.arange(96) // 6 % 2).float()
    fit = fit_pair(clean, (clean * (0.4 + 0.6 * stripes)) * mask, degrade.recipe("cataract"), mask, align_frames=False)
    assert fit.explained < 0.8
    assert any("something else" in warning for warning in fit.warnings)


def test_cornea():
    clean, _ = degrade.phantom.cornea(degrade.make_keys(0, 1), 96)
    recipe = degrade.recipe("cornea", sigma=0, eta=200)
    degraded, _ = recipe.sample(clean, degrade.make_keys(2, 1))
    fit = fit_pair(clean, degraded, recipe)
    assert fit.explained > 0.98


def test_pairs_that_cannot_be_fitted(phantom):
    clean, mask = phantom
    grey = clean[:, :1]
    for images, words in (
        ((clean, clean), "hardly differ"),
        ((clean, grey), "3 channels, degraded 1"),
        ((clean, clean[..., :60]), "not the same proportions"),
        ((clean[..., :40, :40], clean[..., :40, :40]), "at least 64 x 64"),
        ((torch.cat([clean, clean]), clean), "allowed is one image"),
        ((clean, clean + 1), "outside [0, 1]"),
        ((torch.zeros_like(clean), clean, "cofe-net", torch.zeros_like(mask)), "no field of view"),
        ((clean, clean, "cofe-net", mask[..., :50]), "mask has 50 x 96"),
        ((grey, grey / 2, degrade.recipe("x-bdcnn")), "draws nothing"),
    ):
        with pytest.raises(PairError, match=words.replace("[", r"\[")):
            fit_pair(*images)
    with pytest.raises(ValueError, match="at least 64 pixels"):
        fit_pair(clean, clean / 2, size=32)
