"""The exponential moving average: its formula to 1e-6, and the checkpoints of a run with one."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from enhance.trainers.averaging import update_average


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_formula_over_changing_decays(dtype):
    generator = torch.Generator().manual_seed(0)
    average, network = (nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(dtype) for _ in range(2))
    expected = [weight.detach().clone() for weight in average.parameters()]
    for number in range(20):
        decay = min(0.9, number / (number + 10))
        for weight in network.parameters():
            weight.data = torch.randn(weight.shape, generator=generator, dtype=dtype)
        network[1].running_mean.fill_(number)
        network[1].num_batches_tracked.fill_(number)
        update_average(average, network, decay)
        expected = [
            decay * mean + (1 - decay) * weight.detach()
            for mean, weight in zip(expected, network.parameters(), strict=True)
        ]
    for mean, wanted in zip(average.parameters(), expected, strict=True):
        torch.testing.assert_close(mean.detach(), wanted, rtol=0, atol=1e-6)
    assert average[1].running_mean.tolist() == [19.0] * 4
    assert int(average[1].num_batches_tracked) == 19


def test_a_decay_of_0_copies_and_nothing_gets_a_gradient():
    average, network = nn.Linear(2, 3).requires_grad_(False), nn.Linear(2, 3)
    update_average(average, network, 0.0)
    assert torch.equal(average.weight, network.weight)
    assert average.weight.grad_fn is None
    assert network.weight.requires_grad
    assert not average.weight.requires_grad
