"""PIQE against pypiqe; NIQE against a second computation of it, with SciPy and Pillow, and on what it is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from pypiqe import piqe as pypiqe
from scipy import stats
from scipy.ndimage import correlate1d
from scipy.special import gamma
from torch import Tensor

import degrade
from enhance.metrics import NiqeModel, fit_niqe, niqe, piqe
from enhance.metrics.patches import fit_aggd, patch_features

Array = NDArray[np.float64]


def grey_of(path: Path) -> Tensor:
    """(1, 1, H, W), whole levels of 255."""
    return torch.from_numpy(np.asarray(Image.open(path).convert("L")).copy())[None, None].float() / 255


def textures(count: int, side: int, seed: int = 0) -> Tensor:
    """Smooth noise, as sharp in one place as in another, so that a few small images make a model."""
    noise = torch.rand(count, 1, side + 2, side + 2, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.avg_pool2d(noise, 3, 1)


def agree_with_pypiqe(image: Tensor) -> float:
    """To 1e-6: the same arithmetic in float64, so no block changes sides."""
    expected = pypiqe((255 * image[0, 0].double()).round().numpy().astype(np.uint8))[0]
    assert float(piqe(image)) == pytest.approx(float(expected), abs=1e-6)
    return float(expected)


def test_piqe_agrees_with_pypiqe_on_phantoms() -> None:
    keys = degrade.make_keys(0, 1)
    scores = []
    for image in (degrade.phantom.chest(keys, 100)[0], degrade.phantom.cornea(keys, 128)[0]):
        image = (255 * image).round() / 255
        noisy = (255 * (image + 0.05 * torch.randn(image.shape)).clamp(0, 1)).round() / 255
        blocky = torch.nn.functional.interpolate(image[..., ::8, ::8], scale_factor=8)[..., :99, :97]
        scores += [agree_with_pypiqe(picture) for picture in (image, noisy, blocky, image[..., 3:70, 5:90])]
    assert max(scores) - min(scores) > 20  # not a test of one branch


@pytest.mark.parametrize("folder", ["xray", "cornea/high", "cornea/low", "fundus/good", "fundus/poor"])
def test_piqe_agrees_with_pypiqe_on_real_images(data: Path, folder: str) -> None:
    for path in sorted((data / folder).iterdir())[:2]:
        image = grey_of(path)[..., :501, :487]
        agree_with_pypiqe(image)
        agree_with_pypiqe((255 * (image + 0.06 * torch.randn(image.shape)).clamp(0, 1)).round() / 255)


def test_piqe_of_flat_images_and_of_masks_without_blocks() -> None:
    image = torch.rand(2, 1, 64, 64)
    assert piqe(torch.zeros(1, 3, 32, 32)).tolist() == [100]
    assert piqe(image, torch.zeros_like(image)).tolist() == [100, 100]


@pytest.mark.parametrize("shape", [0.5, 1.0, 2.0, 4.0])
def test_the_fit_finds_a_generalised_gaussian(shape: float) -> None:
    """10^5 numbers: a standard error of about 1 % in the shape and 0.5 % in the scale; 5 % allows for five."""
    values = 3 * stats.gennorm.rvs(shape, size=100_000, random_state=np.random.default_rng(0))
    alpha, left, right = fit_aggd(torch.from_numpy(values))
    assert float(alpha) == pytest.approx(shape, rel=0.05)
    assert float(left) == pytest.approx(3, rel=0.1)
    assert float(right) == pytest.approx(3, rel=0.1)
    _, left, right = fit_aggd(torch.from_numpy(np.where(values < 0, 0.5 * values, values)))
    assert float(right / left) == pytest.approx(2, rel=0.05)


def aggd(values: Array) -> list[float]:
    """alpha, beta_left, beta_right by looking through all shapes: a second way to compute `fit_aggd`."""
    left, right = np.sqrt((values[values < 0] ** 2).mean()), np.sqrt((values[values > 0] ** 2).mean())
    g = left / right
    ratio = np.abs(values).mean() ** 2 / (values**2).mean() * (g**3 + 1) * (g + 1) / (g**2 + 1) ** 2
    shapes = np.arange(200, 10001) / 1000
    alpha = shapes[np.argmin((gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes)) - ratio) ** 2)]
    scale = np.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return [alpha, left * scale, right * scale]


def features_of(grey: Array, patch: int) -> Array:
    """(N, 36) of an image in 0..255, patch by patch."""
    height, width = (side - side % patch for side in grey.shape)
    grey = grey[:height, :width]
    taps = np.exp(-0.5 * (np.arange(-3, 4) / (7 / 6)) ** 2)
    taps /= taps.sum()

    def mean(plane: Array) -> Array:
        return correlate1d(correlate1d(plane, taps, axis=0, mode="nearest"), taps, axis=1, mode="nearest")

    scales = []
    for side in (patch, patch // 2):
        normal = (grey - mean(grey)) / (np.sqrt(np.abs(mean(grey**2) - mean(grey) ** 2)) + 1)
        rows = []
        for y in range(0, grey.shape[0], side):
            for x in range(0, grey.shape[1], side):
                tile = normal[y : y + side, x : x + side]
                alpha, left, right = aggd(tile.ravel())
                row = [alpha, (left + right) / 2]
                pairs = (
                    (tile[:, :-1], tile[:, 1:]),
                    (tile[:-1], tile[1:]),
                    (tile[:-1, :-1], tile[1:, 1:]),
                    (tile[:-1, 1:], tile[1:, :-1]),
                )
                for a, b in pairs:
                    alpha, left, right = aggd((a * b).ravel())
                    row += [alpha, (right - left) * gamma(2 / alpha) / gamma(1 / alpha), left, right]
                rows.append(row)
        scales.append(np.array(rows))
        half = Image.fromarray(grey.astype(np.float32)).resize((width // 2, height // 2), Image.Resampling.BICUBIC)
        grey = np.asarray(half).astype(np.float64)
    return np.concatenate(scales, axis=1)


def test_niqe_agrees_with_a_second_computation() -> None:
    """Full size to 1e-9, half size to 1e-3 because Pillow halves in float32 and alpha comes in steps of 0.001."""
    image = degrade.phantom.cornea(degrade.make_keys(2, 1), 150)[0]
    expected = features_of(255 * image[0, 0].double().numpy(), 48)
    features, _, usable = patch_features(image, None, 48)
    assert usable.all()
    assert np.allclose(features[0, :, :18].numpy(), expected[:, :18], atol=1e-9)
    assert np.allclose(features[0, :, 18:].numpy(), expected[:, 18:], atol=2e-3)


def test_niqe_is_the_distance_of_the_patches_inside() -> None:
    image, mask = textures(1, 96, seed=1), torch.zeros(1, 1, 96, 96)
    mask[..., :75, :] = 1  # 75 rows less the margin of 10 hold four rows of patches
    model = fit_niqe(textures(2, 192), patch=16)
    features, _, usable = patch_features(image, mask, 16)
    rows = features[usable].numpy()
    assert len(rows) == 4 * 6
    distance = rows.mean(axis=0) - model.mean.numpy()
    both = (np.cov(rows.T) + model.covariance.numpy()) / 2
    expected = np.sqrt(distance @ np.linalg.inv(both) @ distance)
    assert float(niqe(image, model, mask)) == pytest.approx(expected, rel=1e-6)


def test_niqe_fits_the_sharp_patches_only() -> None:
    image = torch.cat([textures(2, 192) * weight for weight in (1, 0.6)], dim=-1)
    features, sharpness, _ = patch_features(image, None, 16)
    kept = torch.cat([f[s > 0.75 * s.max()] for f, s in zip(features, sharpness, strict=True)])
    assert 0.3 * sharpness.numel() < len(kept) < 0.6 * sharpness.numel()
    model = fit_niqe([image[:1], image[1:]], patch=16)
    assert torch.allclose(model.mean, kept.mean(dim=0))
    assert np.allclose(model.covariance.numpy(), np.cov(kept.numpy().T))


@pytest.mark.slow
def test_niqe_rises_with_noise_and_blur(data: Path) -> None:
    """Fitted on real good images, judged on others: what the metric is for."""
    paths = sorted((data / "cornea/high").iterdir())[:24]
    images = torch.cat([grey_of(path) for path in paths])
    model, test = fit_niqe(images[4:], patch=48), images[:4]
    blurred = torch.nn.functional.avg_pool2d(test, 5, 1, 2)
    noisy = (test + 0.05 * torch.randn(test.shape)).clamp(0, 1)
    assert (niqe(test, model) < 4).all()
    assert (niqe(blurred, model) > 2 * niqe(test, model)).all()
    assert (niqe(noisy, model) > 2 * niqe(test, model)).all()


def test_niqe_sees_only_the_mask_and_no_other_image() -> None:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 3), 200)
    model = fit_niqe(textures(2, 192), patch=16)
    together = niqe(image, model, mask)
    other = torch.where(mask > 0.5, image, torch.rand_like(image))
    assert torch.allclose(niqe(other, model, mask), together, rtol=1e-6)
    assert not torch.allclose(niqe(other, model), together, rtol=1e-2)
    alone = torch.cat([niqe(image[i : i + 1], model, mask[i : i + 1]) for i in range(3)])
    assert torch.allclose(alone, together, rtol=1e-6)
    nothing = torch.cat([image[:2], torch.full_like(image[:1], 0.5)])
    assert niqe(nothing, model, mask * torch.tensor([0.0, 1, 1]).view(3, 1, 1, 1)).isnan().tolist() == [
        True,
        False,
        True,
    ]


def test_models_are_kept_in_files(tmp_path: Path) -> None:
    model = fit_niqe(textures(2, 192), patch=16)
    model.save(tmp_path / "cornea.niqe")
    again = NiqeModel.load(tmp_path / "cornea.niqe")
    assert torch.equal(again.mean, model.mean)
    assert torch.equal(again.covariance, model.covariance)
    assert again.patch == 16
    (tmp_path / "text").write_text("no model")
    np.savez(tmp_path / "other.npz", mean=np.zeros(3), covariance=np.zeros((3, 3)), patch=96)
    np.savez(tmp_path / "objects.npz", mean=np.array([{}]), covariance=np.zeros(1), patch=96)
    good = (tmp_path / "cornea.niqe").read_bytes()
    (tmp_path / "cut").write_bytes(good[:500])
    (tmp_path / "large").write_bytes(good + bytes(1 << 20))
    np.savez_compressed(tmp_path / "bomb.npz", mean=np.zeros(10**7), covariance=np.zeros(1), patch=96)
    for name in ("text", "other.npz", "objects.npz", "cut", "large", "bomb.npz"):
        with pytest.raises(ValueError, match="is not a NIQE model"):
            NiqeModel.load(tmp_path / name)


def test_refusals() -> None:
    image = torch.rand(1, 1, 96, 96)
    with pytest.raises(ValueError, match="patch = 15: allowed are even numbers"):
        fit_niqe(image, patch=15)
    with pytest.raises(ValueError, match=r"give 1 sharp patches of 96 x 96; more than 36"):
        fit_niqe(image)
    with pytest.raises(ValueError, match="zip"):
        fit_niqe([image, image], [torch.ones_like(image)], patch=16)
    model = fit_niqe(textures(2, 192), patch=16)
    with pytest.raises(ValueError, match="at least 16"):
        niqe(image[..., :15], model)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_gives_the_same_niqe() -> None:
    """To 1e-3: lgamma and sums differ in the last bits, and a shape may move by its step of 0.001."""
    image = textures(2, 96, seed=1)
    model = fit_niqe(textures(2, 192), patch=16)
    on_device = fit_niqe(textures(2, 192).cuda(), patch=16)
    assert torch.allclose(on_device.mean, model.mean, rtol=1e-3)
    assert torch.allclose(niqe(image.cuda(), model).cpu(), niqe(image, model), rtol=1e-3)
