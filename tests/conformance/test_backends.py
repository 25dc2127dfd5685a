"""The same questions to every backend, model and stage: is it the definition, is a sample alone what it is in a batch?

A case that a backend does not serve (float64, say) is the definition's; `test_each_backend_serves` counts the others.
"""

from __future__ import annotations

import functools
from collections import Counter

import pytest
import torch
from torch import Tensor

import degrade
from degrade.backend import choose
from tests.conformance.cases import BATCHES, DTYPES, SIZES, Case, cases, pictures
from tests.interpreter import enlarge_tiles

CASES = cases()
LEVEL = 1 / 255


def params() -> list[object]:
    return [pytest.param(case, id=str(case)) for case in CASES]


def tolerance(case: Case) -> float:
    """Half a grey level where wide fields are interpolated, and the rounding of the type in which images are kept."""
    fields = 0.5 * LEVEL if case.stage in ("halo", "hole", "all") and "-net" in case.recipe else 2e-5
    return fields + float(torch.finfo(case.dtype).eps) * (1 if case.dtype != torch.float64 else 0)


def parameters(case: Case) -> tuple[degrade.Degradation, degrade.Parameters]:
    d = degrade.recipe(case.recipe)
    p = d.draw(degrade.make_keys(7, 5), *case.size)
    if "type" in p:
        p["type"] = torch.full_like(p["type"], 7)
    return d, p if case.stage == "all" else d.stages(p)[case.stage]


def inputs(case: Case) -> tuple[Tensor, Tensor | None]:
    image, mask = pictures(case.channels, case.size)
    return image.to(case.dtype), mask if case.masked else None


@pytest.fixture(autouse=True)
def _large_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    if not torch.cuda.is_available():
        enlarge_tiles(monkeypatch)


def slow_on_gpu(value: object, backend: str) -> object:
    """A parameter of a test that interprets several kernels where it is of the GPU's backend."""
    return pytest.param(value, marks=pytest.mark.slow) if backend == "gpu" else value


def is_quick(case: Case) -> bool:
    """Not one of many that differ only in how an interpreted kernel stores what it computes."""
    return case.backend != "gpu" or case.dtype == torch.float32


@pytest.mark.parametrize("case", params())
def test_is_the_definition(case: Case) -> None:
    d, p = parameters(case)
    image, mask = inputs(case)
    some = slice(0, case.batch)
    given = image[some].clone(), {name: value[some].clone() for name, value in p.items()}
    mask = None if mask is None else mask[some]
    with degrade.backend(case.backend):
        got = d.apply(given[0], given[1], mask)
    assert got.shape == image[some].shape
    assert got.dtype == case.dtype
    assert torch.equal(given[0], image[some])
    assert all(torch.equal(value, p[name][some]) for name, value in given[1].items())
    if not case.batch:
        return
    assert float(got.min()) >= 0
    assert float(got.max()) <= 1
    with degrade.backend("reference"):
        mask = d.field_of_view(image[some]) if mask is None else mask
        expected = d.apply(image[some].double(), {n: v[some] for n, v in p.items()}, mask)
    wrong = (got.double() - expected).abs() > tolerance(case)
    # a count of photons may be off by one where float32 rounds the rate; no other pixel may differ
    allowed = 1e-3 if case.recipe in ("x-bdcnn", "cornea") else 0.0
    assert float(wrong.double().mean()) <= allowed


@pytest.mark.parametrize(
    "case", [slow_on_gpu(case, case.backend) for case in CASES if case.batch > 1 and is_quick(case)], ids=str
)
def test_a_sample_alone_is_what_it_is_in_a_batch(case: Case) -> None:
    d, p = parameters(case)
    image, mask = inputs(case)
    row = {name: value[2:3] for name, value in p.items()}
    with degrade.backend(case.backend):
        together = d.apply(image, p, mask)
        alone = d.apply(image[2:3], row, None if mask is None else mask[2:3])
    assert torch.equal(alone[0], together[2])


def test_each_backend_serves() -> None:
    """A suite in which all cases fell back to the definition would say nothing."""
    served: Counter[str] = Counter()
    for case in CASES:
        d, (image, _) = degrade.recipe(case.recipe), inputs(case)
        with degrade.backend(case.backend):
            for operation in d.operations:
                choice = choose(operation, image.device, refuses=functools.partial(d.refuses, image=image))
                served[choice.name] += choice.name == case.backend
    assert min(served[name] for name in degrade.backend.names) >= 20
    assert len(CASES) <= 400


def test_every_pair_of_values_occurs() -> None:
    for recipe in degrade.RECIPES:
        mine = [case for case in CASES if case.recipe == recipe]
        assert {(c.backend, c.stage) for c in mine} == {
            (name, stage) for name in degrade.backend.names for stage in {c.stage for c in mine}
        }
        assert {(c.dtype, c.size) for c in mine} == {(dtype, size) for dtype in DTYPES for size in SIZES}
        assert {(c.batch, c.backend) for c in mine} == {(n, name) for n in BATCHES for name in degrade.backend.names}


@pytest.mark.parametrize("backend", [slow_on_gpu(name, name) for name in degrade.backend.names])
def test_a_wrong_parameter_is_noticed(backend: str) -> None:
    """The planted defect: one hundredth more of one parameter is more than the tolerance."""
    image, mask = pictures(3, (61, 40))
    d = degrade.recipe("cofe-net")
    p = {**d.draw(degrade.make_keys(7, 5), 61, 40), "type": torch.full((5,), 7)}
    with degrade.backend(backend):
        got = d.apply(image.float(), {**p, "brightness": p["brightness"] * 1.01}, mask)
    with degrade.backend("reference"):
        expected = d.apply(image, p, mask)
    assert (got - expected).abs().max() > 0.5 * LEVEL
