"""Memory safety: whatever parameters are given, they are refused by name, or the picture is finite.

A seeded tenth runs by default; `--faults all` runs 5,000 on each backend (200 in Triton's interpreter).
"""

from __future__ import annotations

import json
import math
import random
import time
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import degrade
from degrade.packing import pack
from degrade.parameters import MOST_ITEMS, Parameter
from degrade.records import from_record, to_record
from tests.conformance.cases import pictures
from tests.degrade.test_recipes import values

SIZE = (64, 64)
HOSTILE = (1e15, -1e15, 1e38, -1e38, math.nan, math.inf, -math.inf, 1e-45, -0.0, 2.0**31, -1.0, 65536.0)
GUARD = 20.0  # seconds of processor time after which a call counts as hanging, on a busy machine as well


def inside(p: Parameter, rng: random.Random) -> float:
    """A value within the allowed range, often at an end of it."""
    low, high = p.allowed
    kind = rng.randrange(4)
    if kind < 2:
        return (low, high)[kind]
    return rng.uniform(low, high) if kind == 2 else min(max(low, 10 ** rng.uniform(-6, 2)), high)


def changed(p: Parameter, value: Tensor, rng: random.Random) -> Any:
    """A parameter as nobody should give it, or at the edge of what is allowed."""
    match rng.randrange(8):
        case 0:
            return torch.rand(rng.choice([(), (1,), (2, 3), (7,), (2, 5, 5), (0,)]))
        case 1:
            return rng.choice([value.double(), value.to(torch.int32), value.to(torch.bool), value.to(torch.complex64)])
        case 2:
            return rng.choice([None, 3.0, "0.5", [1.0], value.numpy()])
        case 3 | 4 if p.kind != "key":
            hostile = rng.choice(HOSTILE)
            whole = value.clone()
            place = rng.randrange(max(value.numel(), 1))
            if value.numel():
                number = hostile if value.is_floating_point() else rng.choice([-1, 8, 2**62, -(2**63), 1001])
                whole.view(-1)[place] = number
            return whole
        case _ if p.kind == "key":
            return torch.full_like(value, rng.choice([0, -1, 2**63 - 1, -(2**63)]))
        case _:
            return torch.full_like(value, inside(p, rng) if p.kind == "real" else int(inside(p, rng)))


def attempt(backend: str, seed: int) -> str:
    """One dictionary through `apply`: "refused" or "finite"; anything else raises."""
    rng = random.Random(seed)
    name = rng.choice(sorted(degrade.RECIPES))
    overrides = {"spot_count": rng.choice([0, 1, 9, 64])} if "-net" in name else {}
    d = degrade.recipe(name, **overrides)
    p: dict[str, Any] = dict(d.draw(degrade.make_keys(seed, 2), *SIZE))
    touched = rng.sample(d.parameter_table.names, rng.choice([1, 1, 2, 3]))
    for one in touched:
        p[one] = changed(d.parameter_table[one], p[one], rng)
    if rng.random() < 0.05:
        del p[rng.choice(touched)]
    image, mask = (part[:2].float() for part in pictures(rng.choice([1, 3]), SIZE))
    start, message = time.process_time(), ""
    try:
        with degrade.backend(backend):
            degraded = d.apply(image, p, mask)
    except (ValueError, TypeError) as error:
        message = str(error)
    assert time.process_time() - start < GUARD
    if message:
        assert "at most" in message or any(repr(one) in message for one in d.parameter_table.names), message
        return "refused"
    assert bool(torch.isfinite(degraded).all())
    return "finite"


@pytest.mark.parametrize("backend", ["reference", "cpu", pytest.param("gpu", marks=pytest.mark.slow)])
def test_any_dictionary_is_refused_by_name_or_gives_a_finite_picture(
    backend: str, request: pytest.FixtureRequest
) -> None:
    every = request.config.getoption("--faults") == "all"
    count = (200 if every else 20) if backend == "gpu" else (5000 if every else 500)
    with degrade.backend(backend):  # what compiles at the first call does it here
        degrade.recipe("cofe-net")(pictures(3, SIZE)[0].float(), degrade.make_keys(0, 5))
    outcomes = [attempt(backend, seed) for seed in range(count)]
    assert 0.1 < outcomes.count("finite") / count < 0.9  # both are tried


def test_many_spots_at_their_largest() -> None:
    d = degrade.recipe("cofe-net", spot_count=64, type="010")
    p = d.draw(degrade.make_keys(0, 1), *SIZE)
    spots = [p.name for p in d.parameter_table if "N" in p.shape]
    p |= {name: p[name].repeat(1, 16, *(1,) * (p[name].ndim - 2))[:, :MOST_ITEMS] for name in spots}
    for name in ("spot_radius", "spot_kernel"):
        p[name] = torch.full_like(p[name], d.parameter_table[name].allowed[1])
    image, mask = (part[:1].float() for part in pictures(3, SIZE))
    for backend in ("reference", "cpu"):
        with degrade.backend(backend):
            assert bool(torch.isfinite(d.apply(image, p, mask)).all())
    more = p | {name: torch.cat([p[name], p[name][:, :1]], 1) for name in spots}
    with pytest.raises(ValueError, match="at most 1000 items"):
        d.apply(image, more, mask)


@pytest.mark.parametrize("name", sorted(degrade.RECIPES))
@pytest.mark.parametrize("hostile", [1e308, -1e15, "NaN", [], {}, None, True, "1", [[[0.5]]], 2**70, "x" * 1000])
def test_any_record_is_refused_by_name(name: str, hostile: object) -> None:
    """As they come from JSON files."""
    d = degrade.recipe(name)
    record = json.loads(json.dumps(to_record(d.parameter_table, d.draw(degrade.make_keys(0, 1), *SIZE), 0)))
    image, mask = (part[:1].float() for part in pictures(3, SIZE))
    for parameter in d.parameter_table:
        if parameter.kind == "key" and hostile == "1":
            continue  # that is one
        message = ""
        try:
            read = from_record(d.parameter_table, {**record, parameter.name: hostile})
            d.apply(image, read, mask)
        except ValueError as error:
            message = str(error)
        if message:
            assert parameter.name in message or ("N" in parameter.shape and "spot" in message)
        else:  # no spots at all are allowed
            assert "N" in parameter.shape
            assert hostile == []


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    name=st.sampled_from(sorted(degrade.RECIPES)),
    side=st.integers(32, 600),
    ratio=st.floats(1 / 3, 3),
    seed=st.integers(0, 2**32),
)
def test_every_draw_of_every_recipe_is_allowed(
    data: st.DataObject, name: str, side: int, ratio: float, seed: int
) -> None:
    table = degrade.RECIPES[name].model.settings_table
    chosen = data.draw(st.fixed_dictionaries({}, optional={key: values(entry) for key, entry in table.items()}))
    d = None
    try:
        d = degrade.recipe(name, **chosen)
    except ValueError as error:
        message = str(error)
    if d is None:
        assert "means" in message  # two settings that limit each other
        return
    height, width = (side, max(32, round(side * ratio))) if ratio < 1 else (max(32, round(side / ratio)), side)
    p = d.draw(degrade.make_keys(seed, 16), height, width)
    count = d.parameter_table.check_shapes(p, 16)
    packed = pack(d.parameter_table, p, count)
    packed.check()
    largest = d._largest_drawn(*d._shape(height, width))
    measured = packed.largest()
    assert all(measured[key] <= most * (1 + 1e-6) + 1e-30 for key, most in largest.items())
