"""enhance.losses against float64 NumPy written from the formulas; gradients; signs; what must be zero."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from scipy.special import expit, log_softmax, softmax
from torch import Tensor

from enhance import losses

Array = NDArray[np.float64]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(loss: Tensor, expected: float) -> bool:
    return loss.shape == () and float(loss) == pytest.approx(float(expected), rel=1e-9, abs=1e-12)


def windows(image: Array) -> Array:
    """Gaussian means over 11 x 11 windows, sigma 1.5, that lie inside the image."""
    taps = np.exp(-0.5 * ((np.arange(11) - 5) / 1.5) ** 2)
    taps /= taps.sum()
    for axis in (-2, -1):
        image = np.apply_along_axis(np.convolve, axis, image, taps, mode="valid")
    return image


def ssim_parts(x: Array, y: Array) -> tuple[Array, Array, Array, Array, Array]:
    mx, my = windows(x), windows(y)
    return mx, my, windows(x * x) - mx**2, windows(y * y) - my**2, windows(x * y) - mx * my


def test_seqlc_l1_is_a_mean_over_the_frame_of_what_is_inside_the_mask() -> None:
    clean, enhanced, mask = random(2, 3, 12, 10), random(2, 4, 3, 12, 10, seed=1), (random(2, 1, 12, 10) > 0.4).double()
    c, e, m = clean.numpy(), enhanced.numpy(), mask.numpy()
    assert close(losses.seqlc_l1(enhanced, clean), np.mean([np.abs(e[:, k] - c).mean() for k in range(4)]))
    assert close(losses.seqlc_l1(enhanced, clean, mask), np.mean([(np.abs(e[:, k] - c) * m).mean() for k in range(4)]))
    outside = (enhanced + 9 * (1 - mask)[:, None]).requires_grad_()
    losses.seqlc_l1(outside, clean, mask).backward()
    assert close(losses.seqlc_l1(outside.detach(), clean, mask), float(losses.seqlc_l1(enhanced, clean, mask)))
    assert outside.grad is not None
    assert not (outside.grad * (1 - mask)[:, None]).any()


def test_feature_pyramid_constraint_against_its_formula() -> None:
    features = [random(2, 3, c, side, side, seed=c) - 0.5 for c, side in ((4, 32), (6, 16), (5, 8))]
    total = 0.0
    for layer in features:
        f = np.maximum(layer.numpy(), 0)
        for sample in f:
            vectors = []
            for view in sample:
                cells = [
                    channel[i * s : (i + 1) * s, j * s : (j + 1) * s].max()
                    for grid in (2, 4, 8)
                    for s in [view.shape[-1] // grid]
                    for channel in view
                    for i in range(grid)
                    for j in range(grid)
                ]
                vectors.append(np.array(cells))
            mean = np.mean(vectors, axis=0)
            cosines = [v @ mean / np.sqrt((v @ v) * (mean @ mean)) for v in vectors]
            total += np.mean([1 - cosine for cosine in cosines]) / len(f)
    assert close(losses.feature_pyramid_constraint(features), total)
    assert losses.spatial_pyramid(features[0][:, 0]).shape == (2, 84 * 4)


def test_feature_pyramid_constraint_is_zero_only_for_equal_views() -> None:
    view = random(2, 1, 4, 16, 16)
    same = view.repeat(1, 4, 1, 1, 1)
    assert float(losses.feature_pyramid_constraint([same, 3 * same])) == pytest.approx(0, abs=1e-12)
    assert float(losses.feature_pyramid_constraint([torch.cat([same, view.flip(-1)], dim=1)])) > 1e-4
    views = torch.cat([view, view.flip(-1)], dim=1).requires_grad_()
    losses.feature_pyramid_constraint([views]).backward()
    assert views.grad is not None
    assert (views.grad.abs().amax(dim=(0, 2, 3, 4)) > 0).all()  # both views are pulled, the mean not detached


def test_least_squares_gan() -> None:
    real, fake = random(2, 1, 5, 5), random(3, 1, 4, 4, seed=1) - 0.5
    r, f = real.numpy(), fake.numpy()
    assert close(losses.lsgan_discriminator(real, fake), (((r - 1) ** 2).mean() + (f**2).mean()) / 2)
    assert close(losses.lsgan_generator(fake), ((f - 1) ** 2).mean())


def test_ssp_gan_on_logits() -> None:
    real, first, second = (6 * random(2, 1, 5, 5, seed=s) - 3 for s in range(3))
    r, a, b = (expit(t.numpy()) for t in (real, first, second))
    on_real = -np.log(r).mean()
    discriminator = 0.6 * (on_real - np.log(1 - a).mean()) + 0.4 * (on_real - np.log(1 - b).mean())
    assert close(losses.ssp_discriminator(real, first, second), discriminator)
    assert close(losses.ssp_generator(first, second), -0.6 * np.log(a).mean() - 0.4 * np.log(b).mean())
    extreme = torch.tensor([-1e4, 1e4])
    assert torch.isfinite(losses.ssp_discriminator(extreme, extreme, extreme))


def test_two_way_losses() -> None:
    x, x2, y, y2 = (random(2, 3, 8, 8, seed=s) for s in range(4))
    both = np.abs((x2 - x).numpy()).mean() + np.abs((y2 - y).numpy()).mean()
    assert close(losses.image_consistent(x2, x, y2, y), both)
    assert close(losses.identity(y2, y, x2, x), both)
    shapes = ((2, 8, 8, 8), (2, 16, 4, 4), (2, 1, 4, 4))
    lists = [[random(*shape, seed=s) for shape in shapes] for s in range(4)]
    terms = [np.abs(lists[i][layer].numpy() - lists[i + 1][layer].numpy()).mean() for i in (0, 2) for layer in range(3)]
    assert close(losses.feature_consistent(*lists), np.sum(terms) / 3)
    assert close(losses.feature_consistent(*lists, total=True), np.sum(terms))
    lists = [[layer.requires_grad_() for layer in one] for one in lists]
    losses.feature_consistent(*lists).backward()
    assert [all(layer.grad is not None for layer in one) for one in lists] == [True, False, True, False]


@pytest.mark.parametrize("shape", [(2, 3, 16, 20), (1, 1, 13, 17), (2, 5, 8, 9)])
def test_charbonnier_and_edge(shape: tuple[int, ...]) -> None:
    enhanced, clean = random(*shape), random(*shape, seed=1)

    def smooth(image: Array) -> Array:
        for axis in (-2, -1):
            image = correlate1d(image, np.array([0.05, 0.25, 0.4, 0.25, 0.05]), axis=axis, mode="nearest")
        return image

    def laplacian(image: Array) -> Array:
        spread = smooth(image)
        keep = np.zeros(spread.shape[-2:])
        keep[::2, ::2] = 4
        return image - smooth(spread * keep)

    e, c = enhanced.numpy(), clean.numpy()
    assert close(losses.charbonnier(enhanced, clean), np.sqrt((e - c) ** 2 + 1e-6).mean())
    assert np.allclose(losses.laplacian(enhanced).numpy(), laplacian(e), atol=1e-12)
    assert close(losses.edge(enhanced, clean), np.sqrt((laplacian(e) - laplacian(c)) ** 2 + 1e-6).mean())


def test_segmentation_at_several_scales() -> None:
    logits = [6 * random(2, 3, 6, 7, seed=s) for s in range(4)]
    labels = (3 * random(2, 6, 7)).long()
    chosen = [
        np.take_along_axis(log_softmax(scale.numpy(), axis=1), labels.numpy()[:, None], axis=1).mean()
        for scale in logits
    ]
    assert close(losses.multi_scale_segmentation(logits, labels), -np.sum(chosen))


def test_consistency_pulls_the_student_only() -> None:
    student, teacher, s_logits, t_logits = ([random(2, 3, 6, 6, seed=10 * i + j) for j in range(2)] for i in range(4))
    expected = sum(((s - t).numpy() ** 2).mean() for s, t in zip(student, teacher, strict=True))
    for s, t in zip(s_logits, t_logits, strict=True):
        expected += ((softmax(s.numpy(), axis=1) - softmax(t.numpy(), axis=1)) ** 2).mean()
    for tensor in (*student, *teacher, *s_logits, *t_logits):
        tensor.requires_grad_()
    loss = losses.consistency(student, teacher, s_logits, t_logits)
    assert close(loss.detach(), expected)
    loss.backward()
    assert all(tensor.grad is not None for tensor in (*student, *s_logits))
    assert all(tensor.grad is None for tensor in (*teacher, *t_logits))


def test_gaussian_ramp_up() -> None:
    ramp = [losses.gaussian_ramp_up(step, 40) for step in range(60)]
    assert ramp[:40] == pytest.approx(np.exp(-5 * (1 - np.arange(40) / 40) ** 2))
    assert set(ramp[40:]) == {1.0}
    assert losses.gaussian_ramp_up(0, 0) == 1.0
    with pytest.raises(ValueError, match="step = -1"):
        losses.gaussian_ramp_up(-1, 10)


@pytest.mark.parametrize("shape", [(2, 1, 20, 24), (2, 3, 15, 17)])
def test_mse_ssim(shape: tuple[int, ...]) -> None:
    denoised, clean = random(*shape), 0.7 * random(*shape) + 0.3 * random(*shape, seed=1)
    x, y = denoised.numpy(), clean.numpy()
    mx, my, vx, vy, cov = ssim_parts(x, y)
    ssim = (2 * mx * my + 1e-4) * (2 * cov + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4))
    assert close(losses.mse_ssim(denoised, clean), 0.4 * ((x - y) ** 2).mean() + 0.6 * (1 - ssim.mean()))


def test_mse_ssim_of_other_ranges() -> None:
    """The squared error in grey levels; SSIM's constants of range 255 on data of range 1, as in the released code."""
    x, y = random(2, 1, 20, 24), random(2, 1, 20, 24, seed=1)
    error = ((x - y).numpy() ** 2).mean()
    assert close(losses.mse_ssim(x, y, (1.0, 0.0), grey=255), 255**2 * error)
    mx, my, vx, vy, cov = ssim_parts(x.numpy(), y.numpy())
    c1, c2 = 2.55**2, 7.65**2
    inert = ((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean()
    assert close(losses.mse_ssim(x, y, (0.0, 1.0), ssim_range=255), 1 - inert)
    assert 1 - inert < 0.02 < float(losses.mse_ssim(x, y, (0.0, 1.0)))


def test_the_released_level_losses() -> None:
    true, estimated = random(3, 2, 6, 6), random(3, 2, 6, 6, seed=1)
    error = (true - estimated).numpy()
    hinge = (np.abs(0.3 - np.maximum(error, 0)) * error**2).mean()
    assert close(losses.asymmetric_level(estimated, true, form="hinge", grey=1), hinge)
    one, three = (losses.level_total_variation(estimated, 1, per_batch=flag) for flag in (False, True))
    assert close(three, 3 * float(one))
    with pytest.raises(ValueError, match="form = 'hing': allowed is one of text, printed, hinge"):
        losses.asymmetric_level(estimated, true, form="hing")  # type: ignore[arg-type]


def test_asymmetric_level_costs_more_below_than_above() -> None:
    true, estimated = random(2, 2, 6, 6) / 10, random(2, 2, 6, 6, seed=1) / 10
    error = 255 * (estimated - true).numpy()
    assert close(losses.asymmetric_level(estimated, true), (np.where(error < 0, 0.7, 0.3) * error**2).mean())
    literal = (np.abs(0.3 - (error > 0)) * error**2).mean()
    assert close(losses.asymmetric_level(estimated, true, form="printed"), literal)
    below, above = true - 0.01, true + 0.01
    assert losses.asymmetric_level(below, true) > 2 * losses.asymmetric_level(above, true)
    assert 2 * losses.asymmetric_level(below, true, form="printed") < losses.asymmetric_level(
        above, true, form="printed"
    )


def test_level_total_variation() -> None:
    levels = random(2, 2, 7, 9)
    grey = 255 * levels.numpy()
    assert close(
        losses.level_total_variation(levels), (np.diff(grey, axis=3) ** 2).mean() + (np.diff(grey, axis=2) ** 2).mean()
    )


def cubic(size: int, cells: int) -> Array:
    """(size, cells) weights of bicubic interpolation, a = -0.75, pixel centres aligned, edges replicated."""

    def kernel(t: Array) -> Array:
        a, t = -0.75, np.abs(t)
        near, far = (a + 2) * t**3 - (a + 3) * t**2 + 1, a * (t**3 - 5 * t**2 + 8 * t - 4)
        return np.where(t <= 1, near, np.where(t < 2, far, 0))

    weights = np.zeros((size, cells))
    for i in range(size):
        at = (i + 0.5) * cells / size - 0.5
        for j in range(int(np.floor(at)) - 1, int(np.floor(at)) + 3):
            weights[i, np.clip(j, 0, cells - 1)] += kernel(np.array(at - j))
    return weights


def test_illumination_uniformity() -> None:
    enhanced = random(2, 3, 32, 48)
    image, terms = enhanced.numpy(), []
    for n in (8, 4):
        patches = (
            image.reshape(2, 3, n, 32 // n, n, 48 // n).mean(axis=(3, 5)) - image.mean(axis=(2, 3))[..., None, None]
        )
        terms.append(np.abs(cubic(32, n) @ patches @ cubic(48, n).T).mean())
    assert close(losses.illumination_uniformity(enhanced), np.mean(terms))


@pytest.mark.parametrize("form", ["structure", "cs", "contrast"])
def test_texture(form: str) -> None:
    enhanced, image = random(2, 3, 17, 20), random(2, 3, 17, 20, seed=1)
    _, _, vx, vy, cov = ssim_parts(enhanced.numpy(), image.numpy())
    deviations = np.sqrt(vx + 1e-6) * np.sqrt(vy + 1e-6)
    similarity = {
        "structure": (cov + 4.5e-4) / (deviations + 4.5e-4),
        "cs": (2 * cov + 9e-4) / (vx + vy + 9e-4),
        "contrast": (2 * deviations + 9e-4) / (vx + vy + 9e-4),
    }[form]
    assert close(losses.texture(enhanced, image, form), 1 - similarity.mean())
    assert float(losses.texture(image, image, form)) == pytest.approx(0, abs=1e-4)
