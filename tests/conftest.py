"""What several tests share: where the optional real data is, and the ways that a degradation is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from degrade import Degradation, Parameters
from degrade.models.fundus import model
from degrade.models.fundus.model import Route

SHARED = Path(__file__).parents[2] / "shared"


@pytest.fixture(scope="session")
def golden() -> Path:
    """Outputs of the original authors' code; not part of the repository."""
    return _shared("golden")


@pytest.fixture(scope="session")
def data() -> Path:
    """Real images; not part of the repository."""
    return _shared("data")


def _shared(name: str) -> Path:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs the folder shared/{name} beside the repository, which is not distributed")
    return folder


Apply = Callable[[Degradation, Tensor, Parameters, Tensor], Tensor]


_ROUTES = [pytest.param(route, marks=pytest.mark.slow if route is Route.TRITON else ()) for route in Route]


@pytest.fixture
def interpreted(request: pytest.FixtureRequest) -> bool:
    """Whether the test's route runs in Triton's interpreter, a hundred times slower: fewer pictures do there."""
    return request.node.callspec.params.get("apply") is Route.TRITON and not torch.cuda.is_available()


@pytest.fixture(params=_ROUTES, ids=lambda route: route.value)
def apply(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Apply:
    """`d.apply` on each of the routes of the fundus model, so that the same tests run over all of them.

    Triton's kernels run on the CPU, in its interpreter, where there is no GPU. What a route does not serve (8-bit
    rounding, `exact` fields on a GPU) goes the way that `choose` has for it.
    """
    route: Route = request.param
    for package in (route.value,) if route in (Route.NUMBA, Route.TRITON) else ():
        pytest.importorskip(package)

    def chosen(image: Tensor, *, differentiable: bool, exact: bool, emulate_8bit: bool) -> Route:
        if differentiable:
            return Route.BATCHED
        served = not emulate_8bit or route in (Route.BATCHED, Route.IN_PLACE)
        return route if served and not (exact and route is Route.TRITON) else Route.IN_PLACE

    monkeypatch.setattr(model, "choose", chosen)
    return lambda d, image, parameters, mask: d.apply(image, parameters, mask)
