"""Learnable recipes: draws as of ordinary ones, gradients as finite differences of expected values have them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import degrade
from degrade import learnable_recipe
from degrade.fit.describe import describe
from degrade.fit.distance import Scale, energy_distance
from degrade.learnable_recipe import LearnableRecipe

SIDE = 64
STEP = 0.25
KEYS = degrade.make_keys(6, 48)


@pytest.fixture(scope="module")
def photographs() -> tuple[Tensor, Tensor]:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 12), SIDE)
    return image.repeat(4, 1, 1, 1), mask.repeat(4, 1, 1, 1)


def expected(module: LearnableRecipe, photographs: tuple[Tensor, Tensor], keys: Tensor) -> Tensor:
    """A smooth number that every stage moves: mean squared brightness and edges, in hundredths."""
    degraded = module(photographs[0], keys, photographs[1])
    return 100 * (degraded.square().mean() + (degraded[..., 1:] - degraded[..., :-1]).square().mean())


def slopes(
    module: LearnableRecipe, of: Callable[[], Tensor], labels: list[str], step: float = STEP
) -> tuple[dict[str, float], dict[str, float]]:
    """Derivatives by autograd, and by central differences with the same keys."""
    module.zero_grad()
    of().backward()
    assert module.values.grad is not None
    found = dict(zip(module.labels, module.values.grad.tolist(), strict=True))
    central = {}
    for label in labels:
        ends = []
        for sign in (-1, 1):
            with torch.no_grad():
                module.values[module.labels.index(label)] += sign * step
                ends.append(float(of()))
                module.values[module.labels.index(label)] -= sign * step
        central[label] = (ends[1] - ends[0]) / (2 * step)
    return {label: found[label] for label in labels}, central


def test_draws_are_those_of_the_recipe():
    module = degrade.learnable("cofe-net-paper")
    keys = degrade.make_keys(1, 8)
    drawn, plain = module.draw(keys, 64, 64), module.to_recipe().draw(keys, 64, 64)
    assert drawn.keys() == plain.keys()
    assert all(torch.equal(drawn[name].detach(), plain[name]) for name in plain)
    assert module.to_recipe().settings == degrade.recipe(module.to_recipe().to_toml()).settings


LIGHT = ("brightness.low", "brightness.high", "contrast.low", "saturation.high", "noise.high")


def test_gradients_of_continuous_draws_are_finite_differences(photographs):
    recipe = degrade.recipe("cofe-net-paper", type="111")
    module = degrade.learnable(recipe, ["brightness", "contrast", "saturation", "noise"])
    keys = degrade.make_keys(2, 48)
    found, central = slopes(module, lambda: expected(module, photographs, keys), list(LIGHT), step=0.02)
    assert found == pytest.approx(central, rel=0.05, abs=0.005)


def test_gradients_of_the_distance_between_sets_are_finite_differences(photographs):
    """Of the energy distance of descriptions, whose features have kinks: within a tenth."""
    image, mask = photographs
    real = describe(
        degrade.recipe("cofe-net", type="001", brightness=0.6)(image[:12], KEYS[:12], mask[:12]), mask[:12], 64
    )
    scale = Scale.of(real, 0.02)
    recipe = degrade.recipe("cofe-net-paper", type="101", halo_strength=0, hole_depth=0, hole_slope=0, noise=(0, 0.1))
    module = degrade.learnable(recipe, ["brightness", "contrast", "saturation", "noise"])

    def distance() -> Tensor:
        return energy_distance(scale(describe(module(image, KEYS, mask), mask, 64)), scale(real))

    found, central = slopes(module, distance, list(LIGHT), step=0.01)
    size = max(abs(value) for value in central.values())
    assert found == pytest.approx(central, rel=0.1, abs=0.02 * size)


def test_gradients_of_draws_on_pixels_are_near_finite_differences(photographs):
    recipe = degrade.recipe("cofe-net-paper", type="111")
    labels = ["hole_diameter.low", "hole_diameter.high", "hole_depth.high", "blur_kernel.high", "halo_diameter.low"]
    module = degrade.learnable(recipe, [*{label.split(".")[0]: None for label in labels}])
    keys = degrade.make_keys(3, 48)
    found, central = slopes(module, lambda: expected(module, photographs, keys), labels)
    scale = max(abs(value) for value in central.values())
    assert found == pytest.approx(central, rel=0.35, abs=0.1 * scale)


def test_the_count_of_spots_has_the_gradient_of_its_expectation(photographs):
    module = degrade.learnable(degrade.recipe("cofe-net", type="010", spot_count=(2, 9)), ["spot_count"])
    keys = degrade.make_keys(4, 48)
    found, central = slopes(module, lambda: expected(module, photographs, keys), ["spot_count.high"], step=2 / 7)
    assert found == pytest.approx(central, rel=0.3)


def test_a_detached_range_is_caught(photographs, monkeypatch):
    recipe = degrade.recipe("cofe-net-paper", type="111")
    module = degrade.learnable(recipe, ["brightness", "noise"])
    keys = degrade.make_keys(2, 48)
    true = learnable_recipe._secant

    def detached(owner, values, at, *rest):
        return values.new_zeros(()) if owner.labels[at].startswith("brightness") else true(owner, values, at, *rest)

    monkeypatch.setattr(learnable_recipe, "_secant", detached)
    found, central = slopes(module, lambda: expected(module, photographs, keys), ["brightness.high"], step=0.02)
    assert found != pytest.approx(central, rel=0.05, abs=0.005)


def test_probabilities_have_the_gradient_of_the_expectation():
    """The score function over many batches: unbiased within its measured standard error."""
    recipe = degrade.recipe("cofe-net", type="independent", spots_probability=0.3)
    module = degrade.learnable(recipe, ["spots_probability", "blur_probability"])
    estimates = []
    for batch in range(64):
        parameters = module.draw(degrade.make_keys(batch, 32), 64, 64)
        losses = (parameters["type"] & 2 > 0).double() + 5.0  # its mean is the probability of spots, plus 5
        module.zero_grad()
        module.surrogate(losses, parameters).backward()
        estimates.append(module.values.grad.clone())
    found = torch.stack(estimates)
    error = found.std(0) / len(found) ** 0.5
    assert (found.mean(0) - torch.tensor([1.0, 0.0])).abs().lt(4 * error + 1e-3).all()
    assert error[0] < 0.05


def test_values_outside_the_limits_are_moved_into_them_and_keep_a_gradient():
    module = degrade.learnable(degrade.recipe("cofe-net-paper", type="100"), ["noise"])
    with torch.no_grad():
        module.values[0] = -3.0
    assert module.to_recipe().settings["noise"][0] == 0.0
    module.draw(degrade.make_keys(0, 4), 64, 64)["noise"].sum().backward()
    assert module.values.grad[1] > 0


def test_refusals():
    with pytest.raises(ValueError, match="brihtness"):
        degrade.learnable("cofe-net", ["brihtness"])
    with pytest.raises(ValueError, match="draws nothing"):
        degrade.learnable(degrade.recipe("x-bdcnn", eta=1.0, sigma=2.0))


@pytest.mark.parametrize("name", ["cataract", "cornea", "x-bdcnn"])
def test_other_models(name):
    module = degrade.learnable(name)
    keys = degrade.make_keys(0, 4)
    module(torch.full((4, module.space.start.channels[-1], 64, 64), 0.4), keys).square().mean().backward()
    assert module.values.grad.isfinite().all()
    assert (module.values.grad != 0).sum() >= 2
