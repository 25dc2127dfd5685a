"""Losses of X-BDCNN: one for the denoised image, two for the estimated noise levels.

Source: Yin, Qi, Cai and Li, "X-Ray Image Enhancement Using Blind Denoising Neural Networks" (X-BDCNN); its losses on
levels are those of Guo et al., CBDNet, CVPR 2019.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor

from enhance.losses.arguments import at_least_float32, check_images, check_same_shape

ALPHA = 0.3
GREY_LEVELS = 255.0
"""Noise levels are compared in grey levels of 255: in units of [0, 1] their squares vanish beside the SSIM term."""
ASYMMETRIES = ("text", "printed", "hinge")


def mse_ssim(
    denoised: Tensor,
    clean: Tensor,
    weights: tuple[float, float] = (0.4, 0.6),
    grey: float = 1.0,
    ssim_range: float = 1.0,
) -> Tensor:
    """0.4 mean (grey (ĝ - g))^2 + 0.6 (1 - mean SSIM(ĝ, g)).

    SSIM is kornia's (`kornia.metrics.ssim`), which is that of Wang et al. (2004) with these settings: Gaussian window
    of 11 x 11, sigma 1.5, C1 = 0.01^2, C2 = 0.03^2, only windows inside the image. (kornia's `ssim_loss` is half of
    1 - SSIM.)

    Args:
        denoised, clean: (B, C, H, W) in [0, 1], H and W at least 11; channels are averaged. Residuals (images minus
            the noisy one) may stand in their place, as in the released code.
        weights: of the two terms.
        grey: grey level of white in the squared error. The paper prints no range. With 1 the gradient of the SSIM term
            is 95 to 900 times that of the squared error, with 255 it is the other way round.
        ssim_range: range in SSIM's constants, C1 = (0.01 range)^2. The released code leaves it at 255 beside data in
            [0, 1], with which SSIM is nearly 1 from the start.

    Returns:
        a scalar.

    Source: X-BDCNN, L_MSE and L_SSIM with lambda_1 = 0.4, lambda_2 = 0.6.

    >>> import torch
    >>> image = torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> float(mse_ssim(image, image)) < 1e-5
    True
    """
    from kornia.metrics import ssim

    check_images(denoised=denoised, clean=clean)
    if min(clean.shape[-2:]) < 11:
        raise ValueError(f"denoised and clean must have sides of at least 11 for SSIM; got {tuple(clean.shape)}")
    denoised, clean = at_least_float32(denoised), at_least_float32(clean)
    similarity = ssim(denoised, clean, window_size=11, max_val=float(ssim_range), eps=0.0, padding="valid")
    squared, structural = weights
    return squared * (grey * (denoised - clean)).square().mean() + structural * (1 - similarity.mean())


def asymmetric_level(
    estimated: Tensor,
    true: Tensor,
    alpha: float = ALPHA,
    form: Literal["text", "printed", "hinge"] = "text",
    grey: float = GREY_LEVELS,
) -> Tensor:
    """L_asymm = mean |alpha - b| (255 (l̂ - l))^2, b = 1 where l̂ < l and 0 elsewhere.

    Underestimated noise costs (1 - alpha) and overestimated noise alpha: with a level that is too low a denoiser
    leaves the noise in, with one that is too high it still does well. So says the text; CBDNet's formula has this sign.

    Args:
        estimated, true: level maps of one shape, in units of [0, 1]: sigma / 255, and 1 / sqrt(255 eta) for the
            Poisson part, which grows with the noise as sigma does.
        alpha: in (0, 0.5).
        form: "text" as above; "printed": b = 1 where l̂ > l, as X-BDCNN's eq. 3 prints it, against its own text (the
            estimate then tends to vanish); "hinge": b = max(l - l̂, 0), as the released code has it, with which a
            small underestimate costs less than an overestimate.
        grey: grey level of white in which levels are compared; 1 in the released code.

    Returns:
        a scalar, in squared grey levels.

    Source: X-BDCNN, eq. 3, alpha = 0.3; CBDNet, the asymmetric loss.

    >>> import torch
    >>> true = torch.full((1, 1, 4, 4), 10 / 255)
    >>> asymmetric_level(true - 1 / 255, true), asymmetric_level(true + 1 / 255, true)
    (tensor(0.7000), tensor(0.3000))
    """
    check_same_shape(estimated=estimated, true=true)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha = {alpha}: allowed is (0, 0.5)")
    if form not in ASYMMETRIES:
        raise ValueError(f"form = {form!r}: allowed is one of {', '.join(ASYMMETRIES)}")
    error = grey * (at_least_float32(estimated) - at_least_float32(true))
    signs = {"text": error < 0, "printed": error > 0}
    dearer = (-error).clamp_min(0) if form == "hinge" else signs[form].to(error.dtype)
    return ((dearer - alpha).abs() * error.square()).mean()


def level_total_variation(levels: Tensor, grey: float = GREY_LEVELS, per_batch: bool = False) -> Tensor:
    """L_TV = mean (255 d_h l̂)^2 + mean (255 d_v l̂)^2, differences between neighbors: level maps should be smooth.

    Ours because kornia's `total_variation` takes absolute values, and X-BDCNN and CBDNet take squares.

    Args:
        levels: (B, C, H, W), in units of [0, 1], H and W at least 2.
        grey: grey level of white, as in `asymmetric_level`.
        per_batch: sum over the batch, as the released code has it, instead of the mean.

    Returns:
        a scalar, in squared grey levels.

    Source: X-BDCNN, L_TV; CBDNet, the total variation regularizer.

    >>> import torch
    >>> float(level_total_variation(torch.full((1, 2, 8, 8), 0.1)))
    0.0
    """
    check_images(levels=levels)
    if min(levels.shape[-2:]) < 2:
        raise ValueError(f"levels must have sides of at least 2; got {tuple(levels.shape)}")
    scaled = grey * at_least_float32(levels)
    mean = scaled.diff(dim=-1).square().mean() + scaled.diff(dim=-2).square().mean()
    return mean * len(levels) if per_batch else mean
