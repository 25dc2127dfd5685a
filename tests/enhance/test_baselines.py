"""enhance.baselines: the manners of a network, and each method against SciPy or on what it is for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from kornia.color import rgb_to_lab
from kornia.enhance import equalize_clahe
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, median_filter, minimum_filter, uniform_filter
from torch import Tensor

import degrade
from enhance import metrics
from enhance.baselines import BASELINES, Clahe, baseline
from enhance.denoisers import anscombe, inverse_anscombe

every = pytest.mark.parametrize("name", BASELINES)


def eyes(count: int = 2, size: int = 97) -> tuple[Tensor, Tensor]:
    image, _, mask = degrade.phantom.fundus(degrade.make_keys(0, count), size)
    return image, mask


@every
@pytest.mark.parametrize("shape", [(1, 3, 97, 130), (2, 1, 63, 41), (1, 1, 128, 128), (1, 3, 17, 16)])
def test_any_size_grey_and_colour(name: str, shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    kept = image.clone()
    enhanced = baseline(name).enhance(image)
    assert enhanced.shape == image.shape
    assert enhanced.dtype == image.dtype
    assert 0 <= float(enhanced.min()) <= float(enhanced.max()) <= 1
    assert torch.equal(image, kept)


@every
def test_outside_the_mask_is_black(name: str) -> None:
    image, mask = eyes()
    enhanced = baseline(name).enhance(image, mask)
    assert not (enhanced * (mask == 0)).any()
    assert (enhanced * mask).mean() > 0.05


@every
def test_an_image_does_not_depend_on_its_batch(name: str) -> None:
    image, mask = eyes(3)
    alone = [baseline(name).enhance(image[i : i + 1], mask[i : i + 1]) for i in range(3)]
    # 5e-5: the guided filter subtracts squares, and batches of other sizes are convolved in another order
    assert torch.allclose(baseline(name).enhance(image, mask), torch.cat(alone), atol=5e-5)


def test_green_clahe_leaves_red_and_blue() -> None:
    image, _ = eyes()
    enhanced = baseline("clahe-green").enhance(image)
    assert torch.equal(enhanced[:, [0, 2]], image[:, [0, 2]])
    assert torch.allclose(enhanced[:, 1:2], equalize_clahe(image[:, 1:2], 2.0, (8, 8)))


def test_luminance_gain_keeps_hue() -> None:
    """Without CLAHE's share: the gain V^(1/2.2) / V on every channel, so that ratios stay."""
    image = torch.tensor([0.4, 0.2, 0.1]).view(1, 3, 1, 1).expand(1, 3, 32, 32)
    seen: list[Tensor] = []
    method = baseline("luminance-gain")
    before = Clahe._enhance
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Clahe, "_enhance", lambda self, x, field: seen.append(x) or before(self, x, field))
        method.enhance(image)
    gained = seen[0][0, :, 0, 0]
    assert gained[0] == pytest.approx(0.4 ** (1 / 2.2))
    assert torch.allclose(gained / gained[0], torch.tensor([1, 0.5, 0.25]))


@pytest.mark.parametrize(("eta", "sigma"), [(0.5, 5.0), (1.5, 15.0)])
def test_anscombe_makes_the_noise_even_and_its_inverse_is_unbiased(eta: float, sigma: float) -> None:
    clean = torch.tensor([0.1, 0.4, 0.9]).view(3, 1, 1, 1).expand(3, 1, 256, 256)
    noisy = degrade.recipe("x-bdcnn", eta=eta, sigma=sigma, clip=False)(clean, degrade.make_keys(0, 3)).double()
    stable = anscombe(noisy, eta, sigma)
    assert stable.std(dim=(1, 2, 3)).tolist() == pytest.approx([1, 1, 1], abs=0.03)
    back = inverse_anscombe(stable.mean(dim=(1, 2, 3)), eta, sigma)
    assert back.tolist() == pytest.approx([0.1, 0.4, 0.9], abs=0.003)
    naive = ((stable.mean(dim=(1, 2, 3)) / 2) ** 2 - 3 / 8 - (eta * sigma) ** 2) / (255 * eta)  # the algebraic inverse
    assert float((back - torch.tensor([0.1, 0.4, 0.9])).abs().mean()) < float(
        (naive - torch.tensor([0.1, 0.4, 0.9])).abs().mean()
    )


@pytest.mark.parametrize("name", ["anscombe-gaussian", "anscombe-nlm"])
def test_denoisers_remove_noise(name: str) -> None:
    clean = degrade.phantom.chest(degrade.make_keys(0, 2), 96)[0]
    noisy = degrade.recipe("x-bdcnn", eta=1.0, sigma=10.0)(clean, degrade.make_keys(1, 2))
    gains = metrics.psnr(baseline(name, eta=1.0, sigma=10.0).enhance(noisy), clean) - metrics.psnr(noisy, clean)
    assert float(gains.min()) > 4


@every
def test_half_precision_is_computed_in_single(name: str) -> None:
    image = eyes()[0].half()
    enhanced = baseline(name).enhance(image)
    assert enhanced.dtype == torch.float16
    assert torch.equal(enhanced, baseline(name).enhance(image.float()).half())


@every
def test_black_and_white_images_stay_finite(name: str) -> None:
    for level in (0.0, 1.0):
        image = torch.full((1, 3, 40, 40), level)
        assert torch.isfinite(baseline(name).enhance(image)).all()
        assert torch.isfinite(baseline(name).enhance(image, torch.zeros(1, 1, 40, 40))).all()


def test_gaussian_and_median_agree_with_scipy() -> None:
    image = torch.rand(2, 3, 31, 26, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    blurred = gaussian_filter(image.numpy(), 1.7, axes=(2, 3), mode="nearest", radius=6)
    assert np.allclose(baseline("gaussian", sigma=1.7).enhance(image).numpy(), blurred, atol=1e-6)
    middle = median_filter(image.numpy(), (1, 1, 5, 5), mode="nearest")
    assert np.allclose(baseline("median", size=5).enhance(image).numpy(), middle)


def test_denoisers_denoise() -> None:
    clean = degrade.phantom.chest(degrade.make_keys(0, 2), 128)[0]
    noisy = (clean + 0.08 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    for name in ("gaussian", "median"):
        gain = metrics.psnr(baseline(name).enhance(noisy), clean) - metrics.psnr(noisy, clean)
        assert (gain > 3).all()


def test_clahe_raises_contrast() -> None:
    image, mask = eyes(2, 128)
    flat = 0.4 + 0.2 * image
    enhanced = baseline("clahe").enhance(flat, mask)
    assert (metrics.average_gradient(enhanced, mask) > 1.3 * metrics.average_gradient(flat, mask)).all()
    strong = baseline("clahe", clip_limit=8).enhance(flat, mask)
    assert (metrics.average_gradient(strong, mask) > metrics.average_gradient(enhanced, mask)).all()


def test_clahe_equalises_the_lightness_and_keeps_the_colour() -> None:
    """To 0.01 of 1: lightness again comes from colours that were cut to [0, 1]."""
    image = 0.4 + 0.2 * eyes(2, 128)[0]
    before, after = rgb_to_lab(image), rgb_to_lab(baseline("clahe", tiles=4).enhance(image))
    assert torch.allclose(after[:, :1] / 100, equalize_clahe(before[:, :1] / 100, 2.0, (4, 4)), atol=0.01)
    assert (after[:, 1:] - before[:, 1:]).abs().mean() < 1
    grey = image[:, :1]
    assert torch.allclose(baseline("clahe").enhance(grey), equalize_clahe(grey, 2.0, (8, 8)))


def test_dark_channel_takes_uniform_haze_away() -> None:
    """I = t J + (1 - t) A with a black pixel in every patch of J and a piece of pure haze: J comes back."""
    generator = torch.Generator().manual_seed(0)
    scene = torch.rand(1, 3, 120, 120, generator=generator)
    scene[..., ::3, ::3] = 0
    air = torch.tensor([0.9, 0.85, 0.8]).view(1, 3, 1, 1)
    hazy = 0.4 * scene + 0.6 * air
    hazy[..., :12, :12] = air
    method = baseline("dark-channel", omega=1.0, epsilon=1e-2)
    restored = method.enhance(hazy)[..., 30:, 30:]
    assert (restored - scene[..., 30:, 30:]).abs().mean() < 0.03
    assert (hazy - scene)[..., 30:, 30:].abs().mean() > 0.2
    untouched = baseline("dark-channel", omega=0.0).enhance(hazy)
    assert torch.allclose(untouched, hazy, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_dark_channel_agrees_with_a_second_computation(channels: int) -> None:
    """Sides of 100: patches of 3, guided by windows of 13."""
    mask = eyes(1, 100)[1] >= 0.5
    image = torch.rand(1, channels, 100, 100, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    inside, picture = mask[0, 0].numpy(), image[0].numpy()
    filled = np.where(inside, picture, picture[:, inside].mean(axis=1)[:, None, None])
    dark = np.where(inside, minimum_filter(filled.min(axis=0), 3, mode="nearest"), -1)
    weights = np.array([0.299, 0.587, 0.114]) if channels == 3 else np.ones(1)
    guide = np.einsum("c,chw->hw", weights, filled)
    hazy = dark >= np.sort(dark.ravel())[-10]
    at = np.unravel_index(np.argmax(np.where(hazy, guide, -1)), guide.shape)
    haze = picture[:, at[0], at[1]][:, None, None]

    def mean(plane: NDArray[np.float64]) -> NDArray[np.float64]:
        return uniform_filter(plane, 13, mode="nearest")

    rough = 1 - 0.95 * minimum_filter((filled / haze).min(axis=0), 3, mode="nearest")
    slope = (mean(guide * rough) - mean(guide) * mean(rough)) / (mean(guide**2) - mean(guide) ** 2 + 1e-3)
    refined = mean(slope) * guide + mean(mean(rough) - slope * mean(guide))
    expected = ((picture - haze) / np.clip(refined, 0.1, 1) + haze).clip(0, 1) * inside
    got = baseline("dark-channel").enhance(image, mask.double())[0].numpy()
    assert np.allclose(got, expected, atol=1e-9)


def test_dark_channel_does_not_look_outside_the_mask() -> None:
    image, mask = eyes()
    other = torch.where(mask > 0.5, image, torch.ones_like(image))
    method = baseline("dark-channel")
    inside = mask == 1
    assert torch.allclose(method.enhance(other, mask) * inside, method.enhance(image, mask) * inside, atol=1e-6)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="unknown baseline 'clache'; did you mean clahe"):
        baseline("clache")
    with pytest.raises(ValueError, match="unknown setting 'cliplimit'; did you mean clip_limit"):
        baseline("clahe", cliplimit=3)
    with pytest.raises(ValueError, match="sigma = -1"):
        baseline("gaussian", sigma=-1)
    with pytest.raises(TypeError, match=r"Identity.enhance: image must be a float tensor in \[0, 1\]; got torch.uint8"):
        baseline("identity").enhance(torch.zeros(1, 3, 8, 8, dtype=torch.uint8))
    with pytest.raises(ValueError, match="C = 1 or 3"):
        baseline("identity").enhance(torch.zeros(1, 2, 8, 8))
    with pytest.raises(ValueError, match="mask must be"):
        baseline("identity").enhance(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
