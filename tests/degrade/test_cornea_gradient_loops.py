"""Cornea: the gradients that loops make on a CPU are those of the definition."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import degrade
from degrade import Parameters
from tests.gradients import check, gradients, served_by

pytest.importorskip("numba")


def case(channels: int = 1, size: tuple[int, int] = (52, 47)) -> tuple[degrade.Degradation, Tensor, Parameters]:
    """Images of noise, the last one black; some without electronic noise, some too bright."""
    image = torch.rand(6, channels, *size, generator=torch.Generator().manual_seed(0)) ** 0.5
    image[5] = 0
    d = degrade.recipe("cornea")
    p = d.draw(degrade.make_keys(2, 6), *size)
    p["sigma"][:2], p["gain_high"][1:3], p["eta"][1] = 0, 2, 1
    return d, image, p


@pytest.mark.parametrize(("channels", "size"), [(1, (52, 47)), (3, (33, 70)), (1, (32, 90))])
def test_every_gradient_is_the_definitions(channels: int, size: tuple[int, int]) -> None:
    d, image, p = case(channels, size)
    assert served_by(d, image) == "cpu"
    expected = gradients(d, image, p, None, torch.float64)
    assert all(float(value.norm()) > 0 for value in expected.values())
    check(gradients(d, image, p, None), expected)


def test_the_noise_is_explained_where_the_definition_serves() -> None:
    """The loops compute it themselves."""
    d, image, _ = case()
    assert degrade.backend.explain(d, image.requires_grad_()) == (
        "cornea: cpu\n  not gpu: this operation has no such twin"
    )
    assert "poisson-gaussian: reference" in degrade.backend.explain(d, image.double())


@pytest.mark.parametrize("stage", ["illumination", "blur", "noise"])
def test_neutral_parameters_have_the_definitions_gradients(stage: str) -> None:
    """All stages but one change nothing: their strengths have gradients, and a fit begins."""
    d, image, p = case()
    p = d.stages(p)[stage]
    check(gradients(d, image, p, None), gradients(d, image, p, None, torch.float64), tolerance=1e-3)


@pytest.mark.parametrize("spread", [1e-5, 2 / 512 / 8, 4 / 512 / 8, 0.02, 0.1])
def test_blurs(spread: float) -> None:
    """None; kernels of 3 and 5 whole taps, with the slope from above; kernels as wide as four fifths of the side."""
    image = torch.rand(4, 1, 96, 512, generator=torch.Generator().manual_seed(0)) * torch.linspace(0, 1, 96)[:, None]
    d = degrade.recipe("cornea")
    p = d.draw(degrade.make_keys(2, 4), 96, 512)
    p["blur_sigma"][:] = spread
    found = (gradients(d, image, p, None, dtype) for dtype in (torch.float32, torch.float64))
    # of a hundred thousand counts one is off, which moves the derivative in eta, a sum of what cancels
    check(*({name: value for name, value in each.items() if name != "eta"} for each in found))


def test_a_dropped_term_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: a count is as light is, with the slope 1."""
    from degrade.models.cornea import cpu_gradient

    d, image, p = case()
    right = gradients(d, image, p, None, torch.float64)

    def broken(*given: Any) -> Any:
        return torch.zeros(1, 2, dtype=torch.float64).numpy()

    monkeypatch.setattr(cpu_gradient, "noise_adjoint", broken)
    with pytest.raises(AssertionError, match="image"):
        check(gradients(d, image, p, None), right)
