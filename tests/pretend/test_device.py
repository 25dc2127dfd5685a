"""The pretend device itself: it notes what it should, and refuses what CUDA refuses."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from tests.pretend.memory import NAME
from tests.pretend.watch import watched


def own(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)).to(NAME)


@pytest.mark.parametrize(
    "read",
    [
        lambda x: x.sum().item(),
        lambda x: bool((x > 0).all()),
        lambda x: x.tolist(),
        lambda x: x.cpu(),
        lambda x: x[x > 0.5],
        lambda x: x.nonzero(),
        lambda x: torch.equal(x, x),
        lambda x: x.repeat_interleave(torch.tensor([1, 2, 3, 4]).to(NAME), 0),
        lambda x: torch.masked_select(x, x > 0),
    ],
)
def test_planted_waits_are_noted(read: Callable[[Tensor], object]) -> None:
    x = own(4, 4)
    with watched() as watch:
        read(x)
    assert watch.waits


def test_planted_copies_are_noted() -> None:
    x = own(4)
    with watched() as watch:
        torch.tensor([1.0, 2.0]).to(NAME)
        x[torch.tensor([0, 2])]
    assert len(watch.copies) >= 2
    assert not watch.waits


def test_plain_arithmetic_waits_for_nothing() -> None:
    x, weight = own(2, 3, 8, 8).requires_grad_(), own(4, 3, 3, 3)
    with watched() as watch:
        y = torch.nn.functional.conv2d(x, weight, padding=1).relu().mean((2, 3))
        torch.where(y > 0, y, 0.5 * y).sum().backward()
        x.detach()[:, 1:].clone().mul_(2).masked_fill_(x[:, 1:] > 0.5, 0.0)
    assert (watch.waits, watch.copies) == ([], [])
    assert x.grad is not None
    assert x.grad.device.type == NAME


@pytest.mark.parametrize(
    "mix",
    [
        lambda x: x + torch.rand(4),
        lambda x: x.clone().copy_(x) * torch.rand(4, 4),
        lambda x: torch.cat([x, torch.rand(4, 4)]),
        lambda x: x @ torch.rand(4, 4),
        lambda x: nn.Linear(4, 4)(x),
        lambda x: torch.where(torch.rand(4, 4) > 0, x, x),
    ],
)
def test_devices_do_not_mix(mix: Callable[[Tensor], object]) -> None:
    with pytest.raises(RuntimeError, match=r"expected all tensors on|device"):
        mix(own(4, 4))


def test_numbers_are_the_cpus() -> None:
    x = own(3, 5)
    assert torch.equal((x.softmax(1) @ x.T).cumsum(0).cpu(), (x.cpu().softmax(1) @ x.cpu().T).cumsum(0))
    assert torch.equal(x[:, 1::2].T.contiguous().cpu(), x.cpu()[:, 1::2].T)


def test_training_moves_the_parameters() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 1, 3))
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    net.to(NAME)
    before = copy.deepcopy(net)
    net(own(1, 1, 8, 8)).mean().backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(net.parameters(), before.parameters(), strict=True))
