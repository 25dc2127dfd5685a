"""What people pass to a recipe: NumPy's numbers, empty batches, torch.func's transforms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import degrade

RECIPES = sorted(degrade.RECIPES)


def channels(name):
    return 3 if 3 in degrade.recipe(name).channels else 1


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("name", RECIPES)
def test_an_empty_batch_is_an_empty_batch(name, gradients):
    recipe, keys = degrade.recipe(name), degrade.make_keys(0, 0)
    image = torch.zeros(0, channels(name), 64, 64, requires_grad=gradients)
    degraded, parameters = recipe.sample(image, keys)
    for made in (degraded, recipe.apply(image, parameters), recipe.apply(image, parameters, torch.ones(0, 1, 64, 64))):
        assert made.shape == image.shape
    assert all(value.shape[0] == 0 for value in parameters.values())


@pytest.mark.parametrize("name", RECIPES)
def test_an_empty_batch_in_kornias_adapter(name):
    from degrade.adapters.kornia import KorniaDegradation

    image = torch.zeros(0, channels(name), 64, 64)
    assert KorniaDegradation(degrade.recipe(name))(image).shape == image.shape


def test_numpys_numbers_are_settings():
    expected = degrade.recipe("cofe-net", brightness=(0.5, 1.0), spot_count=3).settings
    for low, high, count in (
        (np.float32(0.5), np.int64(1), np.uint8(3)),
        (np.float64(0.5), np.float16(1), np.int32(3)),
    ):
        made = degrade.recipe("cofe-net", brightness=(low, high), spot_count=count)
        assert made.settings == expected
        assert degrade.recipe(made.to_toml()).settings == expected
    assert degrade.recipe("x-bdcnn", levels=np.int32(100)).levels == 100.0
    for wrong in (np.bool_(True), np.nan, np.float32("inf"), np.array([1, 2, 3]), "1"):
        with pytest.raises(ValueError, match="brightness = "):
            degrade.recipe("cofe-net", brightness=wrong)


@pytest.mark.parametrize("inside", [False, True], ids=["drawn before", "drawn inside"])
@pytest.mark.parametrize("name", RECIPES)
def test_torch_func_is_refused_with_what_to_use(name, inside):
    recipe, image = degrade.recipe(name), torch.rand(1, channels(name), 64, 64)
    drawn = recipe.draw(degrade.make_keys(0, 1), 64, 64)

    def degraded(x):
        p = recipe.draw(degrade.make_keys(0, 1), 64, 64) if inside else drawn
        return recipe.apply(x, p, torch.ones(1, 1, 64, 64))

    calls = (
        lambda: torch.func.grad(lambda x: degraded(x).sum())(image),
        lambda: torch.func.vjp(degraded, image),
        lambda: torch.func.jvp(degraded, (image,), (image,)),
        lambda: torch.func.vmap(degraded)(image[None]),
    )
    for call in calls:
        with pytest.raises(TypeError, match=r"torch.func.*torch.autograd"):
            call()
