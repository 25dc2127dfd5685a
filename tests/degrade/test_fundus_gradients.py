"""Fundus: gradients in the image and in every continuous parameter."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import degrade
from degrade import Parameters
from degrade.models.fundus import model
from degrade.models.fundus.table import PARAMETERS, STAGE_BITS

CONTINUOUS = {
    "colour": ["brightness", "contrast", "saturation"],
    "halo": ["halo_color", "halo_center", "halo_inner", "halo_outer", "halo_kernel", "halo_sigma", "halo_strength"],
    "hole": ["hole_center", "hole_radius", "hole_kernel", "hole_sigma", "hole_depth", "hole_slope"],
    "spots": ["spot_center", "spot_radius", "spot_height", "spot_kernel", "spot_sigma"],
    "blur": ["blur_kernel", "blur_sigma"],
    "noise": ["noise"],
}


def smooth_case() -> tuple[Tensor, Parameters, Tensor]:
    """Mid-grey images and mild parameters off every kink: no clipping, kernels between the odd widths."""
    generator = torch.Generator().manual_seed(0)
    image = 0.4 + 0.2 * torch.rand(2, 3, 32, 32, generator=generator, dtype=torch.float64)
    p = degrade.recipe("cofe-net-paper", type="111").draw(degrade.make_keys(5, 2), 32, 32)
    p = {name: value.double() if value.is_floating_point() else value for name, value in p.items()}
    p |= {"brightness": torch.tensor([0.9, 1.05]), "contrast": torch.tensor([0.8, 1.1])}
    p |= {"saturation": torch.tensor([0.7, 1.2]), "halo_strength": torch.tensor([0.3, 0.4])}
    p |= {"halo_inner": torch.tensor([0.31, 0.27]), "halo_outer": torch.tensor([0.52, 0.61])}
    p |= {"halo_kernel": torch.tensor([0.37, 0.41]), "noise": torch.tensor([0.2, 0.3])}
    p |= {"hole_kernel": torch.tensor([[0.33, 0.29], [0.24, 0.35]]), "hole_depth": torch.tensor([0.1, 0.15])}
    p |= {"spot_kernel": torch.full((2, 30, 2), 0.13) + 0.05 * torch.rand(2, 30, 2, generator=generator)}
    p |= {"spot_height": 0.005 + 0.005 * torch.rand(2, 30, generator=generator)}
    p |= {"blur_kernel": torch.tensor([[0.13, 0.11], [0.12, 0.14]]), "blur_sigma": torch.tensor([0.05, 0.08])}
    p = {name: value.double() if value.is_floating_point() else value for name, value in p.items()}
    return image, p, torch.ones(2, 1, 32, 32, dtype=torch.float64)


@pytest.mark.parametrize("stage", list(CONTINUOUS))
def test_gradcheck(stage: str) -> None:
    image, p, mask = smooth_case()
    d = degrade.recipe("cofe-net-paper", softness=3 / 32)
    alone = {**PARAMETERS.only(p, stage), "type": torch.full_like(p["type"], STAGE_BITS[stage])}
    names = CONTINUOUS[stage]

    def run(image: Tensor, *values: Tensor) -> Tensor:
        degraded: Tensor = d.apply(image, {**alone, **dict(zip(names, values, strict=True))}, mask)
        return degraded[:, :, ::5, ::5]  # gradcheck's cost grows with the outputs

    inputs = [value.clone().requires_grad_() for value in (image, *(alone[name] for name in names))]
    assert torch.autograd.gradcheck(run, inputs, eps=1e-7, atol=1e-5, fast_mode=True)


@pytest.mark.parametrize("stage", list(CONTINUOUS))
def test_every_continuous_parameter_has_a_gradient(stage: str) -> None:
    image, p, mask = smooth_case()
    d = degrade.recipe("cofe-net-paper", softness=3 / 32)
    bit = STAGE_BITS[stage]
    for name in CONTINUOUS[stage]:
        leaf = p[name].clone().requires_grad_()
        degraded = d.apply(image, {**p, name: leaf, "type": torch.full_like(p["type"], bit)}, mask)
        (degraded * torch.linspace(-1, 1, 32)).sum().backward()
        assert leaf.grad is not None
        assert leaf.grad.abs().sum() > 0


def test_emulated_rounding_is_transparent_to_gradients() -> None:
    image, p, mask = smooth_case()
    p["type"].fill_(1)
    gradients = []
    for emulate in (False, True):
        leaf = image.clone().requires_grad_()
        degrade.recipe("cofe-net-paper", emulate_8bit=emulate).apply(leaf, p, mask).sum().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    assert (gradients[0] - gradients[1]).abs().max() < 0.1 * gradients[0].abs().max()


def test_images_worked_on_a_few_at_a_time_are_those_of_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 5), 48)
    d = degrade.recipe("cofe-net-paper", noise=0.02)
    results = []
    for at_once in (1 << 22, 2 * image[0].numel(), 1):  # five images, then two, two and one, then each alone
        monkeypatch.setattr(model, "_AT_ONCE", at_once)
        leaf = image.clone().requires_grad_()
        degraded = d(leaf, degrade.make_keys(0, 5), mask)
        degraded.square().sum().backward()
        assert leaf.grad is not None
        results.append(torch.stack([degraded.detach(), leaf.grad]))
    for other in results[1:]:
        assert torch.allclose(other, results[0], rtol=0, atol=1e-5)
