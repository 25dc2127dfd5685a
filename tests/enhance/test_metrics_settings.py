"""A metric's value does not depend on the caller's settings of PyTorch."""

from __future__ import annotations

import pytest
import torch

import degrade
from enhance import metrics
from tests.torch_settings import SETTINGS


@pytest.fixture(scope="module")
def samples():
    """Degraded images, clean ones, their field of view, their vessels and a model for NIQE."""
    image, vessels, field = degrade.phantom.fundus(degrade.make_keys(0, 2), 96)
    degraded = (0.7 * image + 0.1 * torch.rand(image.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    return degraded, image, field, vessels, metrics.fit_niqe(textures(), patch=16)


def textures():
    """Something sharp everywhere, to fit a model to."""
    noise = torch.rand(2, 1, 202, 202, generator=torch.Generator().manual_seed(1), dtype=torch.float32, device="cpu")
    return torch.nn.functional.avg_pool2d(noise, 3, 1)


GOOD = textures()
METRICS = {
    "psnr": lambda d, c, m, v, n: metrics.psnr(d, c, m),
    "psnr without a mask": lambda d, c, m, v, n: metrics.psnr(d, c),
    "ssim": lambda d, c, m, v, n: metrics.ssim(d, c, m),
    "snr": lambda d, c, m, v, n: metrics.snr(d, c, m),
    "entropy": lambda d, c, m, v, n: metrics.entropy(d, m),
    "average_gradient": lambda d, c, m, v, n: metrics.average_gradient(d, m),
    "piqe": lambda d, c, m, v, n: metrics.piqe(d, m),
    "niqe": lambda d, c, m, v, n: metrics.niqe(d, n, m),
    "fit_niqe": lambda d, c, m, v, n: metrics.fit_niqe(GOOD, patch=16).covariance,
    "auc": lambda d, c, m, v, n: metrics.auc(d.mean(1, keepdim=True), v, m),
    "iou": lambda d, c, m, v, n: metrics.confusion(d[:, :1], v, m).iou,
    "dice": lambda d, c, m, v, n: metrics.confusion(d[:, :1], v, m).dice,
}


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", METRICS)
def test_values_are_the_same(samples, name, setting):
    expected = METRICS[name](*samples)
    assert expected.device.type == "cpu"
    assert expected.isfinite().all()
    with SETTINGS[setting]():
        found = METRICS[name](*samples)
    assert found.dtype == expected.dtype
    assert found.device == expected.device
    assert torch.equal(found, expected)


def test_the_auc_of_many_pixels_is_exact():
    """Ranks beyond 2**24, which float32 does not hold."""
    count = 3000 * 3000
    score = torch.arange(count, dtype=torch.float64).view(1, 1, 3000, 3000)
    positive = (score % 2 == 1).float()
    expected = (count / 2 + 1) / count  # of the pairs of an odd number and an even one the odd one is greater
    assert float(metrics.auc(score, positive)) == expected


def test_gradients_do_not_matter(samples):
    image, *rest = samples
    for name, metric in METRICS.items():
        expected = metric(*samples)
        found = metric(image.clone().requires_grad_(True), *rest)
        assert torch.equal(found.detach(), expected), name
