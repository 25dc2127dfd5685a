"""Tables of parameters: packing, checking, and the page made from them."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import degrade
from degrade.packing import pack
from degrade.parameters import Parameter, ParameterTable

DOCS = Path(__file__).parents[2] / "docs"

TABLE = ParameterTable(
    Parameter("size", "a size", (0, 2), shape=(2,), neutral=0.5, stage="first"),
    Parameter("key", "a key", kind="key"),
    Parameter("place", "places", (-1, 1), shape=("N", 2), stage="second"),
    Parameter("count", "a count", (0, 9), kind="count"),
    Parameter("height", "heights", (0, 1), shape=("N",), neutral=0.0, stage="second"),
)


@settings(deadline=None)
@given(batch=st.integers(0, 4), items=st.integers(0, 5), seed=st.integers(0, 2**32))
def test_packing_loses_nothing(batch: int, items: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    p = {
        "size": torch.rand(batch, 2, generator=generator),
        "key": torch.randint(-(2**63), 2**63 - 1, (batch,), generator=generator),
        "place": torch.rand(batch, items, 2, generator=generator),
        "count": torch.randint(0, 10, (batch,), generator=generator),
        "height": torch.rand(batch, items, generator=generator),
    }
    assert TABLE.check_shapes(p, batch) == TABLE.count(p) == items
    packed = pack(TABLE, p, items)
    packed.check()
    again = packed.unpack()
    assert list(again) == list(TABLE.names)
    for name, value in p.items():
        assert again[name].dtype == value.dtype
        assert torch.equal(again[name], value)
    assert torch.equal(packed.clamped().rows.view(torch.int32), packed.rows.view(torch.int32))


def test_clamping_moves_values_into_their_ranges_and_leaves_keys() -> None:
    p = {
        "size": torch.tensor([[-1.0, 5.0]]),
        "key": torch.tensor([-(2**63) + 5]),
        "place": torch.tensor([[[float("nan"), 0.3]]]),
        "count": torch.tensor([2**40]),
        "height": torch.tensor([[float("inf")]]),
    }
    got = pack(TABLE, p, 1).clamped().unpack()
    assert got["size"][0].tolist() == pytest.approx([0, 2], abs=1e-5)
    assert got["key"].tolist() == [-(2**63) + 5]
    assert got["place"][0, 0].tolist() == pytest.approx([0, 0.3])
    assert got["count"].tolist() == [9]
    assert got["height"][0].tolist() == pytest.approx([1], abs=1e-5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"brightness": torch.tensor([2.0, 11.0])}, ValueError, "'brightness' must be from 0 to 10; it holds 11"),
        ({"hole_center": torch.full((2, 2), 1e15)}, ValueError, "'hole_center' must be from -2 to 3 of width, height"),
        ({"spot_height": torch.zeros(2, 3)}, ValueError, r"'spot_height' must have shape \(2, 10\); got \(2, 3\)"),
        ({"type": torch.tensor([7.0, 7.0])}, TypeError, r"'type' must be torch\.int64; got torch\.float32"),
        ({"type": torch.tensor([7, 8])}, ValueError, "'type' must be from 0 to 7; it holds 8"),
        ({"noise": 0.1}, TypeError, "'noise' must be a tensor; got float"),
    ],
)
def test_wrong_parameters_are_named(change: dict[str, object], error: type[Exception], message: str) -> None:
    d, image = degrade.recipe("cofe-net"), torch.rand(2, 3, 32, 32)
    p = d.draw(degrade.make_keys(0, 2), 32, 32)
    with pytest.raises(error, match=message):
        d.apply(image, {**p, **change}, torch.ones(2, 1, 32, 32))


def test_neutral_parameters_leave_one_stage() -> None:
    p = {"size": torch.ones(1, 2), "height": torch.ones(1, 3), "place": torch.ones(1, 3, 2)}
    assert TABLE.only(p, "second")["size"].tolist() == [[0.5, 0.5]]
    assert TABLE.only(p, "first")["height"].tolist() == [[0, 0, 0]]
    assert torch.equal(TABLE.only(p, "first")["size"], p["size"])


@pytest.mark.parametrize("name", sorted(degrade.RECIPES))
def test_tables_say_what_draws_return(name: str) -> None:
    d = degrade.recipe(name)
    p = d.draw(degrade.make_keys(0, 3), 64, 96)
    assert set(p) == set(d.parameter_table.names)
    assert all(p[entry.name].dtype == entry.dtype for entry in d.parameter_table)
    d.parameter_table.check_shapes(p, 3)


@pytest.mark.parametrize("name", sorted(degrade.RECIPES))
def test_differentiable_parameters_have_gradients(name: str) -> None:
    d = degrade.recipe(name, **({"softness": 0.05, "noise": 0.02} if "-net" in name else {}))
    image, keys = 0.3 + 0.4 * torch.rand(2, 3, 48, 48), degrade.make_keys(4, 2)
    p = d.draw(keys, 48, 48)
    if "type" in p:
        p["type"] = torch.full_like(p["type"], 7)
    leaves = {
        e.name: p[e.name].clone().requires_grad_() for e in d.parameter_table if e.kind == "real" and e.differentiable
    }
    degraded = d.apply(image, p | leaves, torch.ones(2, 1, 48, 48))
    (degraded * torch.linspace(-1, 2, 48)).sum().backward()
    for parameter, leaf in leaves.items():
        assert leaf.grad is not None, parameter
        assert bool(leaf.grad.abs().sum() > 0), parameter


def test_the_page_is_made_from_the_tables() -> None:
    made = runpy.run_path(str(DOCS / "make_parameters.py"))["page"]()
    assert (DOCS / "parameters.md").read_text() == made, "run python docs/make_parameters.py"
