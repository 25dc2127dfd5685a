"""Ids for keys and names for recipes wherever they are taken, and subclasses of Tensor as images."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import degrade
from degrade.adapters.kornia import KorniaDegradation

RECIPES = sorted(degrade.RECIPES)


@pytest.fixture(scope="module")
def fundus():
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 2), 48)
    return image, mask


class Tagged(torch.Tensor):
    """A subclass with an attribute, whose slices are refused: nothing may be computed on it as it is."""

    note: list[str]

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        if func is torch.Tensor.__getitem__:
            raise AssertionError("an image was computed on as a subclass")
        return super().__torch_function__(func, types, args, kwargs or {})


def tagged(tensor):
    made = tensor.as_subclass(Tagged)
    made.note = ["left eye"]
    return made


@pytest.mark.parametrize("ids", [["a", "b"], ("a", "b"), [3, 7], [np.int64(3), 7]])
def test_ids_are_keys_of_seed_0(ids, fundus):
    image, mask = fundus
    keys, recipe = degrade.make_keys(0, ids), degrade.recipe("cofe-net")
    want, drawn = recipe.sample(image, keys, mask)
    made, parameters = recipe.sample(image, ids, mask)
    assert torch.equal(made, want)
    assert torch.equal(recipe(image, ids, mask), want)
    assert all(torch.equal(parameters[name], drawn[name]) for name in drawn)
    assert all(torch.equal(value, drawn[name]) for name, value in recipe.draw(ids, 48, 48).items())
    views = degrade.SeqLC(recipe, views=2)
    assert torch.equal(views(image, ids, mask), views(image, keys, mask))


@pytest.mark.parametrize("keys", ["ab", 2, np.array([3, 7]), {"a": 1, "b": 2}])
def test_what_could_be_meant_otherwise_is_refused(keys, fundus):
    with pytest.raises(TypeError, match="keys must be an int64 tensor, as made by make_keys, or a list of ids; got"):
        degrade.recipe("cofe-net").sample(fundus[0], keys)
    with pytest.raises(ValueError, match="give one key per image"):
        degrade.recipe("cofe-net").sample(fundus[0], ["a"])


def test_recipes_are_names_toml_or_made(fundus):
    image, mask = fundus
    made = degrade.recipe("pce-net", brightness=0.8)
    assert degrade.recipe(made) is made
    want = degrade.SeqLC(made, views=2)(image, ["a", "b"], mask)
    assert torch.equal(degrade.SeqLC(made.to_toml(), views=2)(image, ["a", "b"], mask), want)
    assert not torch.equal(degrade.SeqLC("pce-net", views=2)(image, ["a", "b"], mask), want)
    assert KorniaDegradation("cofe-net").recipe.name == "cofe-net"
    with pytest.raises(TypeError, match=r"settings .brightness. go with a recipe's name"):
        degrade.recipe(made, brightness=1)
    with pytest.raises(TypeError, match=r"a recipe is a name .cofe-net, .*got int"):
        degrade.SeqLC(4)
    with pytest.raises(ValueError, match="did you mean cofe-net"):
        KorniaDegradation("cofenet")


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("name", RECIPES)
def test_recipes_take_subclasses_and_return_tensors(name, backend, gradients, fundus):
    image, mask = fundus
    recipe, keys = degrade.recipe(name), degrade.make_keys(0, 2)
    given, place = tagged(image.clone()).requires_grad_(gradients), tagged(mask)
    with degrade.backend(backend):
        want, parameters = recipe.sample(image, keys, mask)
        wrapped = {key: tagged(value) for key, value in parameters.items()}
        calls = (
            recipe(given, keys, place),
            recipe.apply(given, wrapped, place),
            degrade.SeqLC(recipe, 1)(given, tagged(keys), place)[:, 0],
        )
        for made in calls:
            assert type(made) is torch.Tensor
            assert torch.allclose(made, want, atol=1e-6)
        if gradients:
            calls[0].sum().backward()
            assert given.grad is not None


def test_the_forgiving_entry_keeps_the_subclass_and_its_attributes(fundus):
    image = tagged(fundus[0][0])
    made = degrade.degrade(image, "cofe-net")
    assert type(made) is Tagged
    assert made.note == ["left eye"]
    assert made.note is not image.note
    assert torch.equal(made.as_subclass(torch.Tensor), degrade.degrade(fundus[0][0], "cofe-net"))
    parameter = torch.nn.Parameter(fundus[0][0])
    assert type(degrade.degrade(parameter, "cofe-net")) is torch.Tensor
    assert copy.copy(image.note) == made.note


def test_monais_tensors_keep_their_meta_data(fundus):
    data = pytest.importorskip("monai.data", reason="monai is not installed")
    image = data.MetaTensor(fundus[0], meta={"filename_or_obj": "left.png"})
    recipe, keys = degrade.recipe("cofe-net"), degrade.make_keys(0, 2)
    want = recipe(fundus[0], keys)
    assert type(recipe(image, keys)) is torch.Tensor
    assert torch.equal(recipe(image, keys), want)
    made = degrade.degrade(image, recipe)
    assert isinstance(made, data.MetaTensor)
    assert made.meta["filename_or_obj"] == "left.png"
    assert made.meta is not image.meta
    assert torch.equal(made.as_tensor(), want)


def test_torchvisions_images_stay_what_they_are(fundus):
    tv_tensors = pytest.importorskip("torchvision.tv_tensors", reason="torchvision is not installed")
    image = tv_tensors.Image(fundus[0])
    recipe, keys = degrade.recipe("cofe-net"), degrade.make_keys(0, 2)
    assert type(recipe(image, keys)) is torch.Tensor
    made = degrade.degrade(image, recipe)
    assert isinstance(made, tv_tensors.Image)
    assert torch.equal(made.as_subclass(torch.Tensor), recipe(fundus[0], keys))
