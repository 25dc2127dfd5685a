"""X-ray noise: the gradients that loops make on a CPU are those of the definition."""

from __future__ import annotations

import pytest
import torch

from degrade import make_keys
from degrade.models.xray import PoissonGaussian
from tests.gradients import check, gradients, served_by

pytest.importorskip("numba")


@pytest.mark.parametrize("clip", [True, False])
@pytest.mark.parametrize("size", [(33, 35), (301, 257)])
def test_gradients_by_loops_are_the_definitions(clip: bool, size: tuple[int, int]) -> None:
    image, d = torch.rand(3, 1, *size, generator=torch.Generator().manual_seed(0)), PoissonGaussian(clip=clip)
    image[0, :, :9] = 0
    p = d.draw(make_keys(0, 3), *size)
    p["sigma"][1] = 0
    assert served_by(d, image) == "cpu"
    check(gradients(d, image, p, None), gradients(d, image, p, None, torch.float64), tolerance=1e-3)


def test_half_precision_has_gradients_of_its_own_type() -> None:
    image = torch.rand(2, 3, 40, 40).half().requires_grad_()
    PoissonGaussian()(image, make_keys(0, 2)).float().sum().backward()
    assert image.grad is not None
    assert image.grad.dtype == torch.float16
    assert float(image.grad.abs().mean()) > 0.1


def test_a_slope_of_one_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted defect: counts that are taken for the light itself."""
    from degrade.models.poisson_gaussian import cpu_gradient

    image, d = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0)), PoissonGaussian(clip=False)
    p = d.draw(make_keys(0, 2), 40, 40)
    right = gradients(d, image, p, None, torch.float64)
    monkeypatch.setattr(cpu_gradient, "noise_adjoint", lambda *given: torch.zeros(2, 2).double().numpy())
    with pytest.raises(AssertionError, match="image"):
        check(gradients(d, image, p, None), right, tolerance=1e-3)
