"""Losses of SSP-Net: uniform illumination, and preserved texture.

Source: Xu et al., SSP-Net, IEEE/ACM TCBB; both terms come from StillGAN (Ma et al., "Structure and
Illumination Constrained GAN for Medical Image Enhancement", IEEE TMI 40(12), 2021).
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor
from torch.nn import functional

from enhance.losses.arguments import at_least_float32, autocast_off, check_images

PATCHES = (8, 4)
"""Patches along each side: of H/8 and of H/4 pixels."""

C2 = 0.03**2
C3 = C2 / 2
_WINDOW = 11
_SIGMA = 1.5
_FLOOR = 1e-6  # of the variances, so that the square root has a gradient where the image is constant

TEXTURES = ("structure", "cs", "contrast")


def illumination_uniformity(enhanced: Tensor) -> Tensor:
    """L_IU = E[|up(E_patch[Î] - E_image[Î])|], mean of patches of H/8 and of H/4: uniform illumination.

    E_patch are the means over patches, E_image the mean over the image, both per channel; up is bicubic, to the size of
    the image. The paper prints neither the absolute value, which its source has, nor the size of the patches.

    Args:
        enhanced: (B, C, H, W) in [0, 1], H and W at least 8; if 8 does not divide them, patches overlap.

    Returns:
        a scalar; 0 if all patches have one mean.

    Source: SSP-Net, eq. 3.

    >>> float(illumination_uniformity(torch.full((1, 1, 32, 32), 0.5)))
    0.0
    """
    check_images(enhanced=enhanced)
    if min(enhanced.shape[-2:]) < max(PATCHES):
        raise ValueError(f"enhanced must have sides of at least {max(PATCHES)}; got {tuple(enhanced.shape)}")
    enhanced = at_least_float32(enhanced)
    terms = []
    for patches in PATCHES:
        local = functional.adaptive_avg_pool2d(enhanced, patches)
        uneven = local - enhanced.mean(dim=(2, 3), keepdim=True)
        wide = functional.interpolate(uneven, enhanced.shape[-2:], mode="bicubic", align_corners=False)
        terms.append(wide.abs().mean())
    return torch.stack(terms).mean()


def texture(enhanced: Tensor, image: Tensor, form: str = "structure") -> Tensor:
    """L_TE = 1 - mean s(Î, I) over windows of 11 x 11 (Gaussian, sigma 1.5) inside the image; C2 = 0.03^2, C3 = C2/2.

    s is one of
        "structure": (sigma_xy + C3) / (sigma_x sigma_y + C3), StillGAN's, which SSP-Net says it follows;
        "cs":        (2 sigma_xy + C2) / (sigma_x^2 + sigma_y^2 + C2), SSIM without its luminance;
        "contrast":  (2 sigma_x sigma_y + C2) / (sigma_x^2 + sigma_y^2 + C2), as SSP-Net's eq. 4 prints it. It compares
                     the contrast and not the content: a negative is as good to it as the image.

    Args:
        enhanced, image: (B, C, H, W) in [0, 1], H and W at least 11; channels are averaged. Variances are kept at or
            above 0 and 1e-6 is added under the root, so that constant images have gradients.
        form: which s.

    Returns:
        a scalar in [0, 2]; for equal images 0 ("structure": up to 0.003 where they are constant).

    Source: SSP-Net, eq. 4; StillGAN, the structure loss; the windows are kornia's filters.

    >>> image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    >>> [round(abs(float(texture(1 - image, image, form))), 2) for form in TEXTURES]
    [1.99, 1.99, 0.0]
    """
    check_images(enhanced=enhanced, image=image)
    if form not in TEXTURES:
        raise ValueError(f"form = {form!r}: allowed is one of {', '.join(TEXTURES)}")
    if min(image.shape[-2:]) < _WINDOW:
        raise ValueError(f"enhanced and image must have sides of at least {_WINDOW}; got {tuple(image.shape)}")
    variance_x, variance_y, covariance = _moments(at_least_float32(enhanced), at_least_float32(image))
    deviations = (variance_x + _FLOOR).sqrt() * (variance_y + _FLOOR).sqrt()
    if form == "structure":
        similarity = (covariance + C3) / (deviations + C3)
    else:
        shared = covariance if form == "cs" else deviations
        similarity = (2 * shared + C2) / (variance_x + variance_y + C2)
    return 1 - similarity.mean()


def _moments(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Local variances of x and of y, at least 0, and their covariance, over the Gaussian window."""
    from kornia.filters import filter2d_separable

    kernel = _window(x.dtype, x.device)
    moments = torch.cat([x, y, x * x, y * y, x * y], dim=1)
    with autocast_off(x):
        mean_x, mean_y, xx, yy, xy = filter2d_separable(moments, kernel, kernel, padding="valid").chunk(5, dim=1)
    return (xx - mean_x * mean_x).clamp_min(0), (yy - mean_y * mean_y).clamp_min(0), xy - mean_x * mean_y


@functools.cache
def _window(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The Gaussian window (1, 11), kept: made in every call it would have a GPU wait for its copy."""
    from kornia.filters import get_gaussian_kernel1d

    with torch.inference_mode(False):  # the next caller may want gradients
        return get_gaussian_kernel1d(_WINDOW, _SIGMA, device=device, dtype=dtype)
