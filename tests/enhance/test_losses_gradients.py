"""enhance.losses: gradcheck where smooth, no NaN where flat, batch independence, half precision, refusals."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from enhance import losses


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


Loss = Callable[[Tensor, Tensor], Tensor]

PAIRWISE: dict[str, Loss] = {
    "seqlc_l1": lambda x, y: losses.seqlc_l1(torch.stack([x, y.roll(1, -1)], dim=1), y),
    "feature_pyramid_constraint": lambda x, y: losses.feature_pyramid_constraint([torch.stack([x, y], dim=1)]),
    "lsgan_discriminator": losses.lsgan_discriminator,
    "lsgan_generator": lambda x, y: losses.lsgan_generator(x),
    "ssp_discriminator": lambda x, y: losses.ssp_discriminator(y, x, y),
    "ssp_generator": losses.ssp_generator,
    "feature_consistent": lambda x, y: losses.feature_consistent([x], [y], [y], [y]),
    "image_consistent": lambda x, y: losses.image_consistent(x, y, y, y),
    "identity": lambda x, y: losses.identity(x, y, y, y),
    "charbonnier": losses.charbonnier,
    "edge": losses.edge,
    "multi_scale_segmentation": lambda x, y: losses.multi_scale_segmentation([x], (y[:, 0] > 0.5).long()),
    "consistency": lambda x, y: losses.consistency([x], [y], [x], [y]),
    "mse_ssim": losses.mse_ssim,
    "asymmetric_level": losses.asymmetric_level,
    "level_total_variation": lambda x, y: losses.level_total_variation(x),
    "illumination_uniformity": lambda x, y: losses.illumination_uniformity(x),
    "structure": losses.texture,
    "cs": lambda x, y: losses.texture(x, y, "cs"),
    "contrast": lambda x, y: losses.texture(x, y, "contrast"),
}

every_loss = pytest.mark.parametrize("loss", PAIRWISE.values(), ids=PAIRWISE.keys())


@every_loss
def test_gradcheck(loss: Loss) -> None:
    """Random doubles stay clear of the corners of |x|, max and ReLU, so all of them can be checked."""
    x, y = random(1, 2, 13, 12).requires_grad_(), random(1, 2, 13, 12, seed=1)
    torch.autograd.gradcheck(lambda x: loss(x, y), x, eps=1e-7, atol=1e-5, rtol=1e-4)


@every_loss
def test_flat_and_equal_images_have_finite_gradients(loss: Loss) -> None:
    for level in (0.0, 0.5, 1.0):
        x = torch.full((2, 2, 16, 16), level, requires_grad=True)
        value = loss(x, torch.full_like(x, 0.5).detach())
        value.backward()
        assert x.grad is not None
        assert torch.isfinite(value)
        assert torch.isfinite(x.grad).all()


@every_loss
def test_the_loss_of_a_batch_is_the_mean_of_its_samples(loss: Loss) -> None:
    x, y = random(3, 2, 16, 16), random(3, 2, 16, 16, seed=1)
    alone = torch.stack([loss(x[i : i + 1], y[i : i + 1]) for i in range(3)]).mean()
    assert float(loss(x, y)) == pytest.approx(float(alone), rel=1e-12)


@every_loss
def test_half_precision_is_computed_in_single(loss: Loss) -> None:
    x, y = (random(2, 2, 16, 16, seed=s).to(torch.float16) for s in (0, 1))
    value = loss(x, y)
    assert value.dtype == torch.float32
    assert float(value) == pytest.approx(float(loss(x.float(), y.float())), rel=1e-4)


@every_loss
def test_autocast_changes_nothing(loss: Loss) -> None:
    x, y = (random(2, 2, 16, 16, seed=s).float() for s in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        inside = loss(x, y)
    assert inside.dtype == torch.float32
    assert float(inside) == pytest.approx(float(loss(x, y)), rel=1e-6)


def test_seqlc_and_pyramid_over_views_do_not_depend_on_the_order_of_views() -> None:
    views, clean = random(2, 4, 3, 16, 16), random(2, 3, 16, 16, seed=1)
    order = torch.tensor([2, 0, 3, 1])
    for loss in (lambda v: losses.seqlc_l1(v, clean), lambda v: losses.feature_pyramid_constraint([v])):
        assert float(loss(views[:, order])) == pytest.approx(float(loss(views)), rel=1e-12)


@pytest.mark.parametrize("form", ["structure", "cs", "contrast"])
def test_variances_that_rounding_makes_negative_give_no_nan(form: str) -> None:
    """Around 30, far out of range, float32 rounds the squares by more than the variance and than what is added."""
    x, y = (30 + 1e-3 * random(1, 1, 32, 32, seed=s).float() for s in (0, 1))
    x.requires_grad_()
    value = losses.texture(x, y, form)
    value.backward()
    assert x.grad is not None
    assert torch.isfinite(value)
    assert torch.isfinite(x.grad).all()


def test_contrast_is_blind_to_content_and_structure_is_not() -> None:
    image = random(2, 1, 24, 24)
    assert float(losses.texture(1 - image, image, "contrast")) == pytest.approx(0, abs=1e-4)
    assert float(losses.texture(1 - image, image)) > 1.9


def test_illumination_uniformity_sees_slow_changes_only() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    checks = (torch.arange(64)[:, None] + torch.arange(64)).remainder(2).float().expand(1, 1, 64, 64)
    assert float(losses.illumination_uniformity(ramp)) > 0.2
    assert float(losses.illumination_uniformity(checks)) < 1e-6


def test_odd_sizes() -> None:
    x, y = random(1, 3, 37, 53), random(1, 3, 37, 53, seed=1)
    for name in ("edge", "mse_ssim", "structure", "illumination_uniformity", "feature_pyramid_constraint"):
        assert torch.isfinite(PAIRWISE[name](x, y))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: losses.charbonnier(x, x[:1]), r"one shape: enhanced is \(2, 3, 16, 16\), clean is \(1,"),
        (lambda x: losses.edge(x[0], x[0]), r"enhanced must be \(B, C, H, W\)"),
        (lambda x: losses.seqlc_l1(x, x), r"enhanced must be \(B, K, C, H, W\)"),
        (lambda x: losses.seqlc_l1(x[:, None], x, x), "mask must be"),
        (lambda x: losses.feature_pyramid_constraint([]), "features has 0"),
        (lambda x: losses.feature_pyramid_constraint([x]), r"features must be \(B, K, C, h, w\)"),
        (lambda x: losses.feature_consistent([x], [x, x], [x], [x]), "blurry_again has 1, blurry has 2"),
        (lambda x: losses.identity(x, x[..., :8], x, x), "must have one shape"),
        (lambda x: losses.multi_scale_segmentation([x], x), "labels must be"),
        (lambda x: losses.multi_scale_segmentation([x[..., :8]], x[:, 0].long()), "logits must be"),
        (lambda x: losses.consistency([x], [x], [x]), "teacher_logits has 0"),
        (lambda x: losses.consistency([x], [x[:1]]), "must have one shape"),
        (lambda x: losses.mse_ssim(x[..., :8], x[..., :8]), "at least 11"),
        (lambda x: losses.asymmetric_level(x, x, alpha=0.7), "alpha = 0.7"),
        (lambda x: losses.level_total_variation(x[..., :1]), "at least 2"),
        (lambda x: losses.illumination_uniformity(x[..., :7]), "at least 8"),
        (lambda x: losses.texture(x, x, "luminance"), "form = 'luminance': allowed is one of structure"),
        (lambda x: losses.texture(x[..., :10], x[..., :10]), "at least 11"),
    ],
)
def test_mistakes_are_named(call: Callable[[Tensor], Tensor], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(random(2, 3, 16, 16))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_loss
def test_cuda_gives_the_same_loss(loss: Loss) -> None:
    x, y = random(2, 2, 16, 16), random(2, 2, 16, 16, seed=1)
    value = loss(x.cuda(), y.cuda())
    assert value.device.type == "cuda"
    assert float(value) == pytest.approx(float(loss(x, y)), rel=1e-9)
