"""Cataract: against the independent reference, and what it must look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import degrade
from degrade.models.cataract import veil_map
from tests import reference


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_reference(seed: int) -> None:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(seed, 1), 512)
    d = degrade.recipe("cataract")
    p = d.draw(degrade.make_keys(seed, 1), 512, 512)
    one = {name: float(value.flatten()[0]) for name, value in p.items()}
    center = tuple(round(float(value) * 512 - 0.5, 3) for value in p["veil_center"][0])
    expected = reference.cataract(
        image[0].double().numpy(),
        mask[0, 0].double().numpy(),
        round(one["blur_kernel"] * 512),
        one["blur_sigma"] * 512,
        center,
        one["veil"],
        one["contrast"],
        one["brightness"],
        one["saturation"],
    )
    got = d.apply(image.double(), p, mask)[0].numpy()
    assert np.abs(got - expected).max() < 1e-4


def test_veil_is_thinnest_at_its_centre_and_one_at_most() -> None:
    veil = veil_map(torch.tensor([[0.3, 0.6]]), torch.ones(1, 1, 100, 120))[0, 0]
    assert veil.max() == 1
    row, column = divmod(int(veil.argmin()), 120)
    assert abs(row - 59.5) <= 1
    assert abs(column - 35.5) <= 1


def test_a_cataract_veils_detail() -> None:
    """Towards the veil's thick end pixels approach the maximum: brighter, and with less local contrast."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 4), 128)
    d = degrade.recipe("cataract", contrast=1.0, brightness=1.0, saturation=1.0, transmission=1.0)
    degraded = d(image, degrade.make_keys(0, 4), mask)
    inside = mask.expand_as(image) == 1
    assert degraded[inside].mean() > image[inside].mean()
    edges = mask[..., 1:] * mask[..., :-1]
    detail = [(x.diff(dim=-1).abs() * edges).mean() for x in (image, degraded)]
    assert detail[1] < 0.8 * detail[0]


def test_gradcheck() -> None:
    image = 0.3 + 0.2 * torch.rand(1, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    d = degrade.recipe("cataract")
    p = {name: value.double() for name, value in d.draw(degrade.make_keys(0, 1), 32, 32).items()}
    p["blur_kernel"] = torch.tensor([[0.13, 0.11]], dtype=torch.float64)
    names = list(p)

    def run(image: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        degraded: torch.Tensor = d.apply(image, dict(zip(names, values, strict=True)), torch.ones(1, 1, 32, 32))
        return degraded[..., ::5, ::5]

    inputs = [value.clone().requires_grad_() for value in (image, *p.values())]
    assert torch.autograd.gradcheck(run, inputs, eps=1e-7, atol=1e-5, fast_mode=True)
