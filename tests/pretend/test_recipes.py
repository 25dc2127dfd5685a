"""Recipes on a device: nothing is mixed, the numbers are the CPU's, and the host waits where the docs say so."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import degrade
from degrade.base import Degradation
from degrade.fov.frame import of_mask
from degrade.recipes import RECIPES
from degrade.sequence import SeqLC
from tests.pretend.memory import NAME
from tests.pretend.watch import watched

SIDE, BATCH = 64, 2


def inputs(recipe: Degradation) -> tuple[Tensor, Tensor, Tensor]:
    """Images and masks on the device, and keys on the CPU."""
    keys = degrade.make_keys(0, BATCH)
    image, _, mask = degrade.phantom.fundus(keys, SIDE)
    return image[:, : max(recipe.channels)].to(NAME), mask.to(NAME), keys


def frames(recipe: Degradation) -> int:
    """Reads of the frames of the fields of view, one for each call."""
    return int(recipe.settings.get("frame") == "fov")


def warm(recipe: Degradation) -> None:
    """Tables of numbers are copied to a device once."""
    image, mask, keys = inputs(recipe)
    recipe.apply(image, recipe.sample(image, keys, mask)[1], mask)
    recipe(image, keys)


@pytest.mark.parametrize("name", RECIPES)
def test_waits(name: str) -> None:
    recipe = degrade.recipe(name)
    image, mask, keys = inputs(recipe)
    warm(recipe)
    with watched() as watch:
        _, parameters = recipe.sample(image, keys, mask)
    assert len(watch.waits) == frames(recipe), watch.waits
    assert len(watch.copies) == 1, watch.copies  # the packed parameters
    with watched() as watch:
        recipe.apply(image, parameters, mask)
    assert len(watch.waits) == frames(recipe), watch.waits
    assert not watch.copies
    on_device = keys.to(NAME)
    with watched() as watch:
        recipe.sample(image, on_device, mask)
    assert len(watch.waits) == 1 + frames(recipe), watch.waits
    with watched() as watch:
        recipe(image, keys)
    fields = int(recipe.has_field_of_view)  # its box is read
    assert len(watch.waits) == fields + frames(recipe), watch.waits


@pytest.mark.parametrize("name", RECIPES)
def test_host_parameters_are_copied_together(name: str) -> None:
    recipe = degrade.recipe(name)
    image, mask, keys = inputs(recipe)
    warm(recipe)
    parameters = recipe.draw(keys, SIDE, SIDE)
    with watched() as watch:
        recipe.apply(image, parameters, mask)
    assert len(watch.copies) == 1, watch.copies


def test_frames_that_the_host_knows_cost_no_waiting() -> None:
    recipe = degrade.recipe("cofe-net")
    image, mask, keys = inputs(recipe)
    warm(recipe)
    frame = of_mask(mask.cpu())
    with watched() as watch:
        known = recipe.sample(image, keys, mask, frame)[0]
    assert not watch.waits
    assert torch.equal(known.cpu(), recipe(image, keys, mask).cpu())


@pytest.mark.parametrize("name", RECIPES)
def test_numbers_and_gradients_are_the_cpus(name: str) -> None:
    recipe = degrade.recipe(name)
    image, mask, keys = inputs(recipe)
    made, parameters = recipe.sample(image.requires_grad_(), keys, mask)
    assert made.device.type == NAME
    assert {value.device.type for value in parameters.values()} == {NAME}
    (gradient,) = torch.autograd.grad(made.square().sum(), image)
    with degrade.backend("reference"):
        plain = image.detach().cpu().requires_grad_()
        expected, drawn = recipe.sample(plain, keys, mask.cpu())
        (wanted,) = torch.autograd.grad(expected.square().sum(), plain)
    assert torch.allclose(made.detach().cpu(), expected.detach(), atol=1e-5)
    assert torch.allclose(gradient.cpu(), wanted, atol=1e-4)
    assert all(torch.equal(value.cpu(), drawn[key]) for key, value in parameters.items())


def test_views() -> None:
    recipe = degrade.recipe("pce-net")
    image, mask, keys = inputs(recipe)
    views, parameters = SeqLC(recipe, 3).sample(image, keys, mask)
    assert views.device.type == NAME
    assert parameters["brightness"].shape == (BATCH, 3)
    alone = recipe(image, degrade.make_keys(0, BATCH, view=2), mask)
    assert torch.allclose(views[:, 2].cpu(), alone.cpu(), atol=1e-6)
