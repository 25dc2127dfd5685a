"""A picture depends on the image, the recipe and the key alone: not on the caller's settings of PyTorch."""

from __future__ import annotations

import pytest
import torch

import degrade
from degrade.rng import keyed
from tests.torch_settings import SETTINGS

IMAGE, _, MASK = degrade.phantom.fundus(degrade.make_keys(0, 2), 64)
KEYS = degrade.make_keys(1, 2)


def image_for(name):
    return IMAGE if 3 in degrade.recipe(name).channels else IMAGE[:, :1]


def with_gradients(name):
    recipe = degrade.recipe(name)
    image = image_for(name).clone().requires_grad_()
    degraded, parameters = recipe.sample(image, KEYS, MASK)
    return degraded, parameters


def given(name):
    recipe = degrade.recipe(name)
    return recipe.apply(image_for(name), recipe.draw(KEYS, 64, 64))


CALLS = {
    **{f"{name}, sample": (lambda name=name: degrade.recipe(name).sample(image_for(name), KEYS, MASK))
       for name in degrade.RECIPES},
    **{f"{name}, gradients": (lambda name=name: with_gradients(name)) for name in degrade.RECIPES},
    **{f"{name}, apply": (lambda name=name: given(name)) for name in degrade.RECIPES},
    "SeqLC": lambda: degrade.SeqLC(degrade.recipe("pce-net"), 3).sample(IMAGE, KEYS, MASK),
    "softness": lambda: degrade.recipe("cofe-net", softness=0.004, type="111").sample(IMAGE, KEYS, MASK),
    "8 bits": lambda: degrade.recipe("cofe-net", emulate_8bit=True, type="111").sample(IMAGE, KEYS, MASK),
    "keys of names": lambda: degrade.make_keys(3, ["a", "b"], epoch=2, view=1),
    "keys of numbers": lambda: degrade.make_keys(3, 4),
    "uniforms": lambda: keyed.uniforms(KEYS, {"a": 3, "b": 5}),
    "normals": lambda: keyed.normals(KEYS, "a", (1, 9, 9)),
    "field of view": lambda: degrade.fov.estimate(IMAGE),
    **{f"phantom {kind}": (lambda kind=kind: getattr(degrade.phantom, kind)(degrade.make_keys(0, 1), 64))
       for kind in ("fundus", "chest", "cornea")},
}  # fmt: skip


def flat(made):
    if isinstance(made, torch.Tensor):
        return [made]
    if isinstance(made, dict):
        return [tensor for name in sorted(made) for tensor in flat(made[name])]
    return [tensor for part in made for tensor in flat(part)]


@pytest.fixture(scope="module")
def expected():
    return {name: flat(call()) for name, call in CALLS.items()}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", CALLS)
def test_the_same_to_the_bit(name, setting, expected):
    with SETTINGS[setting]():
        made = flat(CALLS[name]())
    for got, wanted in zip(made, expected[name], strict=True):
        assert got.dtype == wanted.dtype
        assert got.device == wanted.device
        # without gradients the call with them takes the fast path, which interpolates wide fields
        close = "gradients" in name and setting in ("inference mode", "no gradients")
        assert torch.equal(got, wanted) or (close and (got - wanted).abs().max() < 0.5 / 255)
