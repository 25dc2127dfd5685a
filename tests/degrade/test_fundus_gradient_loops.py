"""Fundus: the gradients that loops make on a CPU are those of the definition."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

import degrade
from degrade import Parameters
from degrade.backend import Operation
from degrade.models.fundus import reference
from degrade.ops.blur import taps
from degrade.ops.interpolation import weights_between
from tests.gradients import check, gradients, served_by, slope_in_kernel

pytest.importorskip("numba")


def case(channels: int = 3, size: tuple[int, int] = (52, 47)) -> tuple[Tensor, Parameters, Tensor]:
    """An image of noise for each type, one of them black, and masks that leave some of each out."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(8, channels, *size, generator=generator) ** 2
    image[7] = 0
    mask = torch.zeros(8, 1, *size)
    for i in range(8):
        mask[i, :, 3 : 40 + i, 2 + i : 44] = 1
    p = degrade.recipe("cofe-net-paper", spot_count=4, noise=(0.01, 0.05)).draw(degrade.make_keys(2, 8), *size)
    return image, p | {"type": torch.arange(8)}, mask


@pytest.mark.parametrize("softness", [0.0, 0.04])
@pytest.mark.parametrize(("channels", "frame", "masked"), [(3, "fov", True), (1, "image", True), (3, "image", False)])
def test_every_gradient_is_the_definitions(channels: int, frame: str, masked: bool, softness: float) -> None:
    image, p, mask = case(channels)
    d = degrade.recipe("cofe-net-paper", frame=frame, softness=softness)
    assert served_by(d, image) == "cpu"
    given = mask if masked else None
    check(
        gradients(d, image, p, given),
        gradients(d, image, p, d.field_of_view(image) if given is None else given, torch.float64),
    )


def test_frames_of_several_sizes_that_reach_beyond_the_image() -> None:
    image, p, mask = case()
    frame = torch.tensor([[-3, -5, 60, 70], [4, 6, 32, 35], [0, 0, 47, 52], [10, -8, 40, 40]] * 2)
    d = degrade.recipe("cofe-net-paper", softness=0.02)
    found = (gradients(d, image, p, mask, dtype, frame) for dtype in (torch.float32, torch.float64))
    check(*found)


def test_neutral_parameters_have_the_definitions_gradients() -> None:
    """Where a stage changes nothing its strength has a gradient, and a fit begins."""
    image, p, mask = case()
    d = degrade.recipe("cofe-net-paper")
    p = {**d.parameter_table.only(p), "type": torch.full_like(p["type"], 7)}
    expected = gradients(d, image, p, mask, torch.float64)
    check(gradients(d, image, p, mask), expected)
    assert all(
        float(expected[name].norm()) > 0 for name in ("halo_strength", "hole_depth", "spot_height", "brightness")
    )


def test_whole_kernels_have_the_gradient_from_above() -> None:
    """At 512 pixels drawn kernels are of odd numbers of taps, where the slopes on both sides differ."""
    image, mask = torch.rand(2, 1, 512, 512, generator=torch.Generator().manual_seed(0)), torch.ones(2, 1, 512, 512)
    d = degrade.recipe("cofe-net", type="100", frame="image")
    p = d.draw(degrade.make_keys(0, 2), 512, 512)
    p["blur_kernel"] = torch.tensor([[3.0, 5.0], [7.0, 3.0]]) / 512
    got = gradients(d, image, p, mask)
    check(got, gradients(d, image, p, mask, torch.float64))
    assert torch.allclose(slope_in_kernel(d, image, p, mask), got["blur_kernel"][:, 0].double(), rtol=1e-3)


def interpolated(field: Tensor, kernel: Tensor, sigma: Tensor) -> Tensor:
    """`blur_field` as the loops have it: exact at nodes, cubic between."""
    height, width = field.shape[-2:]
    side, fields = min(height, width), []
    for one, size, spread in zip(field, kernel, sigma, strict=True):
        power, smallest = 0, float(size.detach().min()) * side
        while 36 * 2 ** (power + 1) <= smallest:
            power += 1
        assert power > 0, "nothing is interpolated"
        sides = [_to_pixels(n, size[axis], spread, side, 2**power) for axis, n in ((1, height), (0, width))]
        fields.append(sides[0] @ one @ sides[1].T)
    return torch.stack(fields)


def _to_pixels(length: int, size: Tensor, sigma: Tensor, side: int, step: int) -> Tensor:
    """(length, length): the blur of one axis at nodes, and from these to pixels."""
    count = (length - 2 + step) // step + 5
    nodes = torch.arange(count)[:, None] * step - 2 * step
    half = taps(size, sigma, side, 4 * length)
    pixel = torch.arange(length)
    matrix = half[(nodes - pixel).abs()]
    matrix = matrix + torch.where(pixel > 0, half[(nodes + pixel).abs()], 0.0)
    far = (2 * (length - 1) - nodes - pixel).abs()
    matrix = matrix + torch.where(pixel < length - 1, half[far], 0.0)
    between = weights_between(step, half.dtype)
    rows = [matrix[i // step : i // step + 6].T @ between[i % step] for i in range(length)]
    return torch.stack(rows)


@pytest.mark.parametrize("softness", [0.0, 0.02])
def test_interpolated_fields(monkeypatch: pytest.MonkeyPatch, softness: float) -> None:
    """The same fields give the same gradients; exact ones give them to a hundredth."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 3), 160)
    d = degrade.recipe("cofe-net", type="001", frame="image", softness=softness)
    p = d.draw(degrade.make_keys(3, 3), 160, 160)
    p |= {
        "halo_kernel": torch.tensor([0.5, 0.93, 0.6]),
        "hole_kernel": torch.tensor([[0.47, 0.6], [0.95, 1.1], [0.7, 0.8]]),
    }
    p |= {"halo_outer": torch.tensor([0.5, 0.9, 0.6]), "hole_threshold": torch.zeros(3)}
    got, exact = gradients(d, image, p, mask), gradients(d, image, p, mask, torch.float64)
    monkeypatch.setattr(reference, "blur_field", interpolated)
    check(got, gradients(d, image, p, mask, torch.float64))
    sizes = ("halo_kernel", "hole_kernel")  # of what has hard edges: with random weights these differ more
    check(
        *({name: value for name, value in found.items() if name not in sizes} for found in (got, exact)), tolerance=1e-2
    )


def test_a_dropped_term_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: the mean that sets the hole's depth has no gradient."""
    from degrade.models.fundus import cpu_gradient

    image, p, mask = case()
    d = degrade.recipe("cofe-net-paper")
    right, adjoint = gradients(d, image, p, mask, torch.float64), cpu_gradient.loops.illumination_adjoint

    def broken(source: Any, colored: Any, row: Any, area: float, *others: Any) -> None:
        adjoint(source, colored, row, 1e9, *others)

    monkeypatch.setattr(cpu_gradient.loops, "illumination_adjoint", broken)
    with pytest.raises(AssertionError, match="image"):
        check(gradients(d, image, p, mask), right)


def test_threads_and_batch_change_no_bit() -> None:
    image, p, mask = case()
    d, before, found = degrade.recipe("cofe-net-paper", softness=0.01), torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(gradients(d, image, p, mask))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())
    weights = torch.randn(image.shape, generator=torch.Generator().manual_seed(1)) + 0.3
    leaf = image[5:6].clone().requires_grad_()
    degraded = d.apply(leaf, {name: value[5:6] for name, value in p.items()}, mask[5:6])
    (degraded * weights[5:6]).sum().backward()
    assert leaf.grad is not None
    assert torch.equal(leaf.grad[0], found[0]["image"][5])


@pytest.mark.parametrize("reference", [False, True])
def test_gradients_of_gradients(reference: bool) -> None:
    """Of an image, and of factors that are made of it, in float32 by either backend as in float64."""
    image, p, mask = case()
    p["type"].fill_(7)
    d = degrade.recipe("cofe-net-paper", softness=0.04)

    def second(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        leaf = (0.3 + 0.4 * image).to(dtype).requires_grad_()
        made = {**p, "contrast": 0.5 + leaf.mean(dim=(1, 2, 3)), "halo_strength": p["halo_strength"].to(dtype)}
        degraded = d.apply(leaf, made, mask.to(dtype))
        (first,) = torch.autograd.grad((degraded**3).sum(), leaf, create_graph=True)
        (again,) = torch.autograd.grad(first.square().sum(), leaf)
        return first.detach(), again

    with degrade.backend("reference" if reference else "cpu"):
        found = second(torch.float32)
    for got, expected in zip(found, second(torch.float64), strict=True):
        assert float((got - expected).norm()) < 1e-3 * float(expected.norm())


def test_some_are_asked_for_and_more_than_once() -> None:
    image, p, mask = case()
    d = degrade.recipe("cofe-net-paper")
    weights = torch.randn(image.shape, generator=torch.Generator().manual_seed(1)) + 0.3
    expected = gradients(d, image, p, mask)
    for name in ("brightness", "spot_height", "blur_sigma", "noise", "hole_kernel"):
        leaf = p[name].clone().requires_grad_()
        loss = (d.apply(image, {**p, name: leaf}, mask) * weights).sum()
        found = [torch.autograd.grad(loss, leaf, retain_graph=True)[0] for _ in range(2)]
        assert torch.equal(found[0], expected[name])
        assert torch.equal(found[1], expected[name])


def test_without_the_way_back_the_definition_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    from degrade.models.fundus import cpu_gradient

    image, p, mask = case()
    d = degrade.recipe("cofe-net-paper")
    expected = gradients(d, image, p, mask)
    monkeypatch.setattr(cpu_gradient, "_BACKWARDS", Operation("planted", cpu="degrade.models.fundus.cpu_gradient:none"))
    sys.modules["degrade.backend"]._warn.cache_clear()  # type: ignore[attr-defined]
    with pytest.warns(RuntimeWarning, match="the backend 'cpu' cannot be used"):
        got = gradients(d, image, p, mask)
    check(got, {name: value.double() for name, value in expected.items()}, tolerance=1e-3)


def test_a_mask_that_requires_a_gradient_has_one() -> None:
    image, p, mask = case()
    mask = mask.requires_grad_()
    degrade.recipe("cofe-net-paper", frame="image").apply(image, p, mask).sum().backward()
    assert mask.grad is not None
    assert float(mask.grad.abs().sum()) > 0


def test_types_and_layouts_of_what_is_given() -> None:
    image, p, mask = case()
    d = degrade.recipe("cofe-net-paper")
    half = image.half().requires_grad_()
    brightness = p["brightness"].double().requires_grad_()
    plain = p["brightness"].clone().requires_grad_()
    d.apply(
        half, {**p, "brightness": brightness}, mask
    ).float().mean().backward()  # whose gradient is one number for all
    exact = half.detach().float().requires_grad_()
    (d.apply(exact, {**p, "brightness": plain}, mask) / image.numel()).sum().backward()
    assert half.grad is not None
    assert half.grad.dtype == torch.float16
    assert brightness.grad is not None
    assert brightness.grad.dtype == torch.float64
    assert torch.allclose(brightness.grad.float(), plain.grad, rtol=2e-3)  # the degraded image is rounded on the way


def test_an_image_that_was_changed_meanwhile_is_refused() -> None:
    image, p, mask = case()
    leaf = image.clone().requires_grad_()
    changed = leaf * 1
    degraded = degrade.recipe("cofe-net-paper").apply(changed, p, mask)
    changed.mul_(0.5)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        degraded.sum().backward()


CODE = """
import sys, torch, degrade
image, mask, keys = torch.rand(1, 3, 64, 64), torch.ones(1, 1, 64, 64), degrade.make_keys(0, 1)
degrade.recipe("cofe-net", type="111")(image, keys, mask)
assert "degrade.models.fundus.cpu_gradient" not in sys.modules
degrade.recipe("cofe-net", type="100")(image.requires_grad_(), keys, mask).sum().backward()
from degrade.models.fundus import cpu_gradient, cpu_gradient_spots
assert cpu_gradient.loops.optics_adjoint.signatures
assert not cpu_gradient.loops.illumination_adjoint.signatures and not cpu_gradient_spots.spots_adjoint.signatures
"""


@pytest.mark.slow
def test_only_what_a_call_needs_is_compiled() -> None:
    subprocess.run([sys.executable, "-c", CODE], check=True)
