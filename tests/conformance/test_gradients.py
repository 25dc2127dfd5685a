"""The same questions to every model whose gradients loops compute on a CPU."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import Tensor

import degrade
from degrade import Parameters
from tests.conformance.cases import pictures, stages_of
from tests.gradients import Found, check, gradients, served_by

pytest.importorskip("numba")

MODELS = ("cofe-net-paper", "cataract", "cornea", "x-bdcnn")
COUNTS = ("cornea", "x-bdcnn")
"""A recipe of each model; and those in which photons are counted."""

STAGES = [(name, stage) for name in MODELS for stage in stages_of(name)]
SIZE = (33, 47)


def case(name: str, stage: str = "all") -> tuple[degrade.Degradation, Tensor, Parameters, Tensor]:
    d = degrade.recipe(name, **({"exact": True} if "exact" in degrade.RECIPES[name].model.settings_table else {}))
    p = d.draw(degrade.make_keys(7, 5), *SIZE)
    if "type" in p:
        p["type"] = torch.full_like(p["type"], 7)
    image, mask = pictures(3, SIZE)
    return d, image.float(), p if stage == "all" else d.stages(p)[stage], mask


def test_every_model_with_loops_for_gradients_is_asked() -> None:
    every = [degrade.recipe(name) for name in degrade.RECIPES]
    with_loops = {type(d) for d in every if any(operation.cpu_gradient for operation in d.operations)}
    assert with_loops == {degrade.RECIPES[name].model for name in MODELS} == {type(d) for d in every}


@pytest.mark.parametrize("name", MODELS)
def test_who_serves(name: str) -> None:
    d, image, _, _ = case(name)
    said = degrade.backend.explain(d, image.requires_grad_())
    assert said.startswith(f"{d.operations[0].name}: cpu")
    assert ("field of view: cpu" in said) == d.has_field_of_view
    assert served_by(d, image.double()) == "reference"


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("name", "stage"), STAGES)
def test_is_the_definitions(name: str, stage: str, channels: int) -> None:
    d, image, p, mask = case(name, stage)
    image = image[:, :channels].contiguous()
    expected = gradients(d, image, p, mask, torch.float64)
    # the derivative in eta is a sum of what cancels, in which a count may be off by one
    check(gradients(d, image, p, mask), expected, tolerance=1e-3 if name in COUNTS else 1e-4)
    found = [value for parameter, value in expected.items() if parameter != "image" and value is not None]
    assert max(float(value.norm()) for value in found) > 0


@pytest.mark.parametrize("name", MODELS)
def test_batch_and_threads_change_no_bit(name: str) -> None:
    d, image, p, mask = case(name)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(gradients(d, image, p, mask))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(value, found[1][parameter]) for parameter, value in found[0].items())
    leaf = image[2:3].clone().requires_grad_()
    degraded = d.apply(leaf, {parameter: value[2:3] for parameter, value in p.items()}, mask[2:3])
    weights = torch.randn(image.shape, generator=torch.Generator().manual_seed(1)) + 0.3
    (degraded * weights[2:3]).sum().backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad[0], found[0]["image"][2])


@pytest.mark.parametrize("name", MODELS)
def test_each_is_the_same_alone(name: str) -> None:
    """Asked for without the others, and again."""
    d, image, p, mask = case(name)
    weights = torch.randn(image.shape, generator=torch.Generator().manual_seed(1)) + 0.3
    expected = gradients(d, image, p, mask)
    for parameter in (name for name, value in p.items() if value.is_floating_point()):
        leaf = p[parameter].clone().requires_grad_()
        loss = (d.apply(image, {**p, parameter: leaf}, mask) * weights).sum()
        for _ in range(2):
            (got,) = torch.autograd.grad(loss, leaf, retain_graph=True)
            assert torch.equal(got, expected[parameter]), parameter


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("reference", [False, True])
def test_gradients_of_gradients(name: str, reference: bool) -> None:
    """Of an image, and of a factor that is made of it, in float32 by either backend as in float64."""
    d, image, p, mask = case(name)
    factor = {"cofe-net-paper": "contrast", "cataract": "transmission", "cornea": "gain_high", "x-bdcnn": "eta"}[name]

    def second(dtype: torch.dtype) -> Found:
        leaf = (0.3 + 0.4 * image).to(dtype).requires_grad_()
        degraded = d.apply(leaf, {**p, factor: 0.4 + leaf.mean(dim=(1, 2, 3))}, mask.to(dtype))
        (first,) = torch.autograd.grad((degraded**3).sum(), leaf, create_graph=True)
        (again,) = torch.autograd.grad(first.square().sum(), leaf)
        return {"first": first.detach(), "again": again}

    with degrade.backend("reference" if reference else "cpu"):
        got = second(torch.float32)
    check(got, second(torch.float64), tolerance=1e-3)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("function", [torch.func.grad, functools.partial(torch.func.vmap, in_dims=0)])
def test_transforms_are_refused(name: str, function: object) -> None:
    d, image, p, mask = case(name)
    with pytest.raises(TypeError, match=r"cannot be used within torch.func"):
        function(lambda x: d.apply(x, p, mask).sum())(image)  # type: ignore[operator]


@pytest.mark.parametrize("name", MODELS)
def test_no_images(name: str) -> None:
    d, image, p, mask = case(name)
    leaf = image[:0].requires_grad_()
    leaves = {n: v[:0].clone().requires_grad_(v.is_floating_point()) for n, v in p.items()}
    d.apply(leaf, leaves, mask[:0]).sum().backward()
    assert leaf.grad is not None
    assert all(value.grad is not None for value in leaves.values() if value.requires_grad)
