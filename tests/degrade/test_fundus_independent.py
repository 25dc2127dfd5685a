"""`type="independent"`: each stage acts with a probability of its own."""

from __future__ import annotations

import pytest
import torch

import degrade

KEYS = degrade.make_keys(0, 4000)


def test_stages_act_as_often_as_their_probabilities_say_and_independently():
    chances = {"illumination_probability": 0.2, "spots_probability": 0.5, "blur_probability": 0.9}
    recipe = degrade.recipe("cofe-net", type="independent", **chances)
    acting = recipe.draw(KEYS, 64, 64)["type"]
    bits = torch.stack([(acting & bit > 0).double() for bit in (1, 2, 4)])
    assert bits.mean(1).tolist() == pytest.approx(list(chances.values()), abs=0.03)
    assert torch.corrcoef(bits).fill_diagonal_(0).abs().max() < 0.06


def test_certain_stages():
    recipe = degrade.recipe(
        "cofe-net", type="independent", illumination_probability=1, spots_probability=0, blur_probability=1
    )
    assert set(recipe.draw(KEYS[:64], 64, 64)["type"].tolist()) == {5}
    again = degrade.recipe(recipe.to_toml())
    assert again.settings == recipe.settings


def test_everything_else_is_drawn_as_before():
    independent, random = (
        degrade.recipe("cofe-net", type=kind).draw(KEYS[:16], 64, 64) for kind in ("independent", "random")
    )
    assert all(torch.equal(independent[name], random[name]) for name in random if name != "type")


@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_backends_draw_the_same(backend):
    recipe = degrade.recipe("cofe-net", type="independent")
    with degrade.backend(backend):
        assert torch.equal(recipe.draw(KEYS[:16], 64, 64)["type"], recipe.draw(KEYS[:16], 48, 96)["type"])
