"""Crops to the field of view keep the range of the photographs, and their gradients."""

from __future__ import annotations

import pytest
import torch

from degrade import fov


@pytest.mark.parametrize("size", [64, 128, 160, 512])
def test_resizing_keeps_the_range(size: int) -> None:
    """White stays at most 1, to the bit, also back in the photograph: means would round above it."""
    for side in range(200, 400, 21):
        image = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(side)).round()
        image[:, :, :100] = 1
        square, _, where = fov.crop(image, torch.ones(1, 1, side, side), size)
        assert float(square.min()) >= 0
        assert float(square.max()) == 1
        back = fov.uncrop(square, where)
        assert float(back.min()) >= 0
        assert float(back.max()) <= 1


@pytest.mark.parametrize("size", [24, 40, 70])
def test_the_gradient_is_that_of_means(size: int) -> None:
    image = torch.ones(1, 1, 40, 40, dtype=torch.float64, requires_grad=True)
    square, *_ = fov.crop(image, torch.ones(1, 1, 40, 40, dtype=torch.float64), size)
    square.mean().backward()
    assert image.grad is not None
    torch.testing.assert_close(image.grad.sum(), torch.tensor(1.0, dtype=torch.float64))
    assert float(image.grad.min()) > 0
