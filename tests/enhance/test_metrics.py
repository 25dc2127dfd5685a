"""enhance.metrics with a reference, and those of content, against scikit-image and NumPy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from skimage.measure import shannon_entropy
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio as torchmetrics_psnr

import degrade
from degrade import fov
from degrade.images import image_io
from enhance import metrics

FOLDERS = {"fundus/good": 3, "xray": 1, "cornea/high": 1}


def real_images(data: Path) -> list[Tensor]:
    """Two of each kind, (1, C, H, W): their upper left, at most 640 pixels, with some of the surround."""
    images = []
    for folder, channels in FOLDERS.items():
        for path in sorted((data / folder).iterdir())[:2]:
            images.append(image_io.to_float(image_io.read(path))[None, :channels, :640, :640])
    return images


def phantoms() -> list[Tensor]:
    keys = degrade.make_keys(3, 2)
    return [
        degrade.phantom.fundus(keys, 130)[0],
        degrade.phantom.chest(keys, 97)[0],
        degrade.phantom.cornea(keys, 64)[0],
    ]


def worse(image: Tensor) -> Tensor:
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0))
    return (0.9 * image + 0.02 + 0.05 * noise).clamp(0, 1)


def agree_with_scikit_image(image: Tensor) -> None:
    """To 1e-9: both compute in float64; only the order of additions differs."""
    bad = worse(image)
    psnr, ssim = metrics.psnr(bad, image), metrics.ssim(bad, image)
    for i in range(len(image)):
        x, y = bad[i].double().numpy(), image[i].double().numpy()
        assert float(psnr[i]) == pytest.approx(peak_signal_noise_ratio(y, x, data_range=1), abs=1e-9)
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        full = [structural_similarity(b, a, full=True, **options)[1] for b, a in zip(x, y, strict=True)]
        assert float(ssim[i]) == pytest.approx(np.mean([plane[5:-5, 5:-5] for plane in full]), abs=1e-9)


def test_psnr_and_ssim_agree_with_scikit_image_on_phantoms() -> None:
    for image in phantoms():
        agree_with_scikit_image(image)


@pytest.mark.slow
def test_psnr_and_ssim_agree_with_scikit_image_on_real_images(data: Path) -> None:
    for image in real_images(data):
        agree_with_scikit_image(image)


def test_psnr_agrees_with_torchmetrics() -> None:
    """To 1e-4 dB: torchmetrics computes in float32."""
    image = phantoms()[0]
    expected = torchmetrics_psnr(worse(image), image, data_range=1.0, reduction="none", dim=(1, 2, 3))
    assert torch.allclose(metrics.psnr(worse(image), image).float(), expected, atol=1e-4)


def test_snr() -> None:
    image = phantoms()[1]
    x, y = worse(image).double().numpy(), image.double().numpy()
    expected = 10 * np.log10((y**2).sum(axis=(1, 2, 3)) / ((x - y) ** 2).sum(axis=(1, 2, 3)))
    assert np.allclose(metrics.snr(worse(image), image).numpy(), expected, atol=1e-9)
    assert (metrics.snr(worse(image), image) < metrics.psnr(worse(image), image)).all()


def test_equal_images() -> None:
    image = phantoms()[0]
    assert metrics.psnr(image, image).tolist() == metrics.snr(image, image).tolist() == [np.inf, np.inf]
    assert torch.allclose(metrics.ssim(image, image), torch.ones(2, dtype=torch.float64))


def test_masked_psnr_and_snr_are_those_of_the_pixels_inside() -> None:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 2), 80)
    bad = worse(image)
    for i in range(2):
        chosen = mask[i, 0].bool()
        x, y = bad[i][:, chosen].double().numpy(), image[i][:, chosen].double().numpy()
        assert float(metrics.psnr(bad, image, mask)[i]) == pytest.approx(-10 * np.log10(((x - y) ** 2).mean()))
        ratio = (y**2).sum() / ((x - y) ** 2).sum()
        assert float(metrics.snr(bad, image, mask)[i]) == pytest.approx(10 * np.log10(ratio))


def test_soft_masks_count_from_one_half() -> None:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 2), 80)
    inside = (mask >= 0.5).float()
    assert torch.equal(metrics.entropy(image, 0.45 + 0.1 * inside), metrics.entropy(image, inside))


def test_masked_ssim_counts_whole_windows() -> None:
    """A rectangular mask is the same as cropping to it."""
    image = degrade.phantom.chest(degrade.make_keys(0, 2), 80)[0]
    mask = torch.zeros(2, 1, 80, 80)
    mask[..., 7:60, 20:75] = 1
    cropped = metrics.ssim(worse(image)[..., 7:60, 20:75], image[..., 7:60, 20:75])
    assert torch.allclose(metrics.ssim(worse(image), image, mask), cropped)


def test_entropy_agrees_with_scikit_image(data: Path) -> None:
    for image in real_images(data):
        weights = [0.299, 0.587, 0.114] if image.shape[1] == 3 else [1.0]
        levels = np.einsum("c,chw->hw", weights, 255 * image[0].double().numpy())
        expected = shannon_entropy(levels.round().astype(np.uint8))
        assert float(metrics.entropy(image)) == pytest.approx(expected, abs=1e-6)


def test_entropy_of_known_histograms() -> None:
    every = torch.arange(256.0).view(1, 1, 16, 16) / 255
    assert metrics.entropy(torch.cat([every, torch.full_like(every, 0.3)])).tolist() == pytest.approx([8, 0], abs=1e-12)
    half = torch.zeros(1, 1, 16, 16)
    half[..., :8, :] = 1
    assert float(metrics.entropy(every, half)) == pytest.approx(7)


def test_average_gradient() -> None:
    for image in (torch.rand(2, 1, 20, 30), torch.rand(2, 3, 17, 9)):
        planes = 255 * image.double().numpy()
        if image.shape[1] == 3:
            planes = np.einsum("c,bchw->bhw", [0.299, 0.587, 0.114], planes)[:, None]
        dx, dy = np.diff(planes, axis=3)[:, :, :-1], np.diff(planes, axis=2)[..., :-1]
        expected = np.sqrt((dx**2 + dy**2) / 2).mean(axis=(1, 2, 3))
        assert np.allclose(metrics.average_gradient(image).numpy(), expected)
    edge = torch.zeros(1, 1, 16, 16)
    edge[..., 8:] = 1
    assert metrics.average_gradient(edge) > 0
    assert metrics.average_gradient(edge, edge) == 0  # the rim of the mask does not count


UNARY: dict[str, Callable[[Tensor, Tensor | None], Tensor]] = {
    "psnr": lambda x, m: metrics.psnr(0.9 * x**1.1, x, m),
    "snr": lambda x, m: metrics.snr(0.9 * x**1.1, x, m),
    "ssim": lambda x, m: metrics.ssim(0.9 * x**1.1, x, m),
    "entropy": metrics.entropy,
    "average_gradient": metrics.average_gradient,
    "piqe": metrics.piqe,
}


@pytest.mark.parametrize("name", UNARY)
def test_batches_do_not_matter_and_nothing_outside_the_mask_counts(name: str) -> None:
    metric = UNARY[name]
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(1, 3), 96)
    together = metric(image, mask)
    assert together.shape == (3,)
    assert together.dtype == torch.float64
    assert torch.allclose(together, torch.cat([metric(image[i : i + 1], mask[i : i + 1]) for i in range(3)]))
    changed = torch.where(mask > 0.5, image, torch.rand_like(image))
    assert torch.allclose(metric(changed, mask), together, atol=1e-12)
    assert not torch.allclose(metric(changed, None), together)
    assert torch.allclose(metric(image, torch.ones_like(mask)), metric(image, None))


def test_noise_outside_the_mask_changes_no_comparison() -> None:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(1, 2), 96)
    bad = worse(image)
    other = torch.where(mask > 0.5, bad, torch.rand_like(bad))
    for metric in (metrics.psnr, metrics.snr, metrics.ssim):
        assert torch.allclose(metric(bad, image, mask), metric(other, image, mask), atol=1e-12)
        assert not torch.allclose(metric(bad, image), metric(other, image))
        assert metric(bad, image, torch.zeros_like(mask)).isnan().all()


def test_the_surround_flatters(data: Path) -> None:
    """Why there are masks: the black frame of a real photograph adds decibels that nobody earned."""
    image = real_images(data)[0]
    mask = fov.estimate(image)
    bad = worse(image) * mask
    assert metrics.psnr(bad, image) > metrics.psnr(bad, image, mask) + 0.3
    assert metrics.ssim(bad, image) > metrics.ssim(bad, image, mask)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: metrics.psnr(x, x[:1]), ValueError, "one shape"),
        (lambda x: metrics.psnr(x.to(torch.uint8), x), TypeError, "image must be a float tensor"),
        (lambda x: metrics.ssim(x[..., :10], x[..., :10]), ValueError, "at least 11"),
        (lambda x: metrics.entropy(x[0]), ValueError, r"\(B, C, H, W\)"),
        (lambda x: metrics.entropy(x, x), ValueError, "mask must be"),
        (lambda x: metrics.piqe(x[..., :15]), ValueError, "at least 16"),
        (lambda x: metrics.average_gradient(x[..., :1]), ValueError, "at least 2"),
    ],
)
def test_mistakes_are_named(call: Callable[[Tensor], Tensor], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        call(torch.rand(2, 3, 32, 32))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("name", UNARY)
def test_cuda_gives_the_same_figures(name: str) -> None:
    """To 1e-6: float64 on both, summed in another order; PIQE's blocks may in principle change sides, these do not."""
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(1, 2), 96)
    on_device = UNARY[name](image.cuda(), mask.cuda())
    assert on_device.device.type == "cuda"
    assert torch.allclose(on_device.cpu(), UNARY[name](image, mask), atol=1e-6)
