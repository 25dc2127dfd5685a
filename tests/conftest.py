"""What several tests share: where the optional real data is, and the ways that a degradation is computed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

import degrade
from degrade import Degradation, Parameters
from tests.interpreter import enlarge_tiles

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


_BACKENDS = [pytest.param(name, marks=pytest.mark.slow if name == "gpu" else ()) for name in degrade.backend.names]


@pytest.fixture(params=_BACKENDS)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each backend in turn, for all calls of the test.

    Triton's kernels run on the CPU, in its interpreter, where there is no GPU. What a backend does not serve (8-bit
    rounding, gradients) the definition does.
    """
    name: str = request.param
    if name != "reference":
        pytest.importorskip({"cpu": "numba", "gpu": "triton"}[name])
    if name == "gpu" and not torch.cuda.is_available():
        enlarge_tiles(monkeypatch)
    with degrade.backend(name):
        yield name


@pytest.fixture
def interpreted(backend: str) -> bool:
    """Whether the test runs in Triton's interpreter, a hundred times slower: fewer pictures do there."""
    return backend == "gpu" and not torch.cuda.is_available()


@pytest.fixture
def apply(backend: str) -> Apply:
    """`d.apply` on each of the backends."""
    return lambda d, image, parameters, mask: d.apply(image, parameters, mask)
