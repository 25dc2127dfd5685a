"""What several tests share: where the optional real data is, and the two ways that a degradation is computed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from degrade import Degradation, Parameters

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


@pytest.fixture(params=["in place", "batched"])
def apply(request: pytest.FixtureRequest) -> Apply:
    """`d.apply` on the path without gradients, and on the one with; the same tests run over both."""

    def run(d: Degradation, image: Tensor, parameters: Parameters, mask: Tensor) -> Tensor:
        if request.param == "in place":
            return d.apply(image, parameters, mask)
        return d.apply(image.clone().requires_grad_(), parameters, mask).detach()

    return torch.enable_grad()(run)
