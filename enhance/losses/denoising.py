"""Losses of X-BDCNN: one for the denoised image, two for the estimated noise levels.

Source: Yin, Qi, Cai and Li, "X-Ray Image Enhancement Using Blind Denoising Neural Networks" (X-BDCNN); its losses on
levels are those of Guo et al., CBDNet, CVPR 2019.
"""

from __future__ import annotations

from torch import Tensor

from enhance.losses.arguments import at_least_float32, check_images, check_same_shape

ALPHA = 0.3
GREY_LEVELS = 255.0
"""Noise levels are compared in grey levels of 255: in units of [0, 1] their squares vanish beside the SSIM term."""


def mse_ssim(denoised: Tensor, clean: Tensor, weights: tuple[float, float] = (0.4, 0.6)) -> Tensor:
    """0.4 mean (ĝ - g)^2 + 0.6 (1 - mean SSIM(ĝ, g)).

    SSIM is kornia's (`kornia.metrics.ssim`), which is that of Wang et al. (2004) with these settings: Gaussian window
    of 11 x 11, sigma 1.5, C1 = 0.01^2, C2 = 0.03^2, only windows inside the image. (kornia's `ssim_loss` is half of
    1 - SSIM.)

    Args:
        denoised, clean: (B, C, H, W) in [0, 1], H and W at least 11; channels are averaged.
        weights: of the two terms.

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
    similarity = ssim(denoised, clean, window_size=11, eps=0.0, padding="valid")
    squared, structural = weights
    return squared * (denoised - clean).square().mean() + structural * (1 - similarity.mean())


def asymmetric_level(estimated: Tensor, true: Tensor, alpha: float = ALPHA, literal: bool = False) -> Tensor:
    """L_asymm = mean |alpha - b| (255 (l̂ - l))^2, b = 1 where l̂ < l and 0 elsewhere.

    Underestimated noise costs (1 - alpha) and overestimated noise alpha: with a level that is too low a denoiser
    leaves the noise in, with one that is too high it still does well. So says the text; CBDNet's formula has this sign.

    Args:
        estimated, true: level maps of one shape, in units of [0, 1]: sigma / 255, and 1 / sqrt(255 eta) for the
            Poisson part, which grows with the noise as sigma does.
        alpha: in (0, 0.5).
        literal: b = 1 where l̂ > l, as X-BDCNN's eq. 3 prints it, against its own text. The estimate then tends to
            vanish.

    Returns:
        a scalar, in squared grey levels of 255.

    Source: X-BDCNN, eq. 3, alpha = 0.3; CBDNet, the asymmetric loss.

    >>> import torch
    >>> true = torch.full((1, 1, 4, 4), 10 / 255)
    >>> asymmetric_level(true - 1 / 255, true), asymmetric_level(true + 1 / 255, true)
    (tensor(0.7000), tensor(0.3000))
    """
    check_same_shape(estimated=estimated, true=true)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha = {alpha}: allowed is (0, 0.5)")
    error = GREY_LEVELS * (at_least_float32(estimated) - at_least_float32(true))
    dearer = (error > 0 if literal else error < 0).to(error.dtype)
    return ((dearer - alpha).abs() * error.square()).mean()


def level_total_variation(levels: Tensor) -> Tensor:
    """L_TV = mean (255 d_h l̂)^2 + mean (255 d_v l̂)^2, differences between neighbors: level maps should be smooth.

    Ours because kornia's `total_variation` takes absolute values, and X-BDCNN and CBDNet take squares.

    Args:
        levels: (B, C, H, W), in units of [0, 1], H and W at least 2.

    Returns:
        a scalar, in squared grey levels of 255.

    Source: X-BDCNN, L_TV; CBDNet, the total variation regularizer.

    >>> import torch
    >>> float(level_total_variation(torch.full((1, 2, 8, 8), 0.1)))
    0.0
    """
    check_images(levels=levels)
    if min(levels.shape[-2:]) < 2:
        raise ValueError(f"levels must have sides of at least 2; got {tuple(levels.shape)}")
    grey = GREY_LEVELS * at_least_float32(levels)
    return grey.diff(dim=-1).square().mean() + grey.diff(dim=-2).square().mean()
