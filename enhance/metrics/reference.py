"""Full-reference metrics: PSNR, SNR and SSIM, of the whole frame or of a field of view."""

from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from enhance.metrics.arguments import check_pair, deep_inside, inside, precise

WINDOW = 11
UNIFORM = 7


def psnr(image: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
    """Peak signal-to-noise ratio, 10 log10(1 / mean (ĝ - g)^2) dB; infinite for equal images.

    Setting: range 1, the mean over all channels together, nothing rounded or cropped.

    Args:
        image, reference: ĝ and g, (B, C, H, W) in [0, 1], C = 1 or 3.
        mask: (B, 1, H, W); pixels where it is below 0.5 do not count. Without it a black surround counts, and
            flatters.

    Returns:
        (B,) dB, float64; nan where the mask is empty.

    >>> import torch
    >>> psnr(torch.full((1, 1, 8, 8), 0.6), torch.full((1, 1, 8, 8), 0.5)).round(decimals=4)
    tensor([20.], dtype=torch.float64)
    """
    check_pair(image, reference)
    squared = (precise(image) - precise(reference)).square()
    field = inside(mask, image)
    error = (squared * field).sum(dim=(1, 2, 3)) / (field.sum(dim=(1, 2, 3)) * image.shape[1])
    return -10 * error.log10()


def snr(image: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
    """Signal-to-noise ratio, 10 log10(sum g^2 / sum (ĝ - g)^2) dB; infinite for equal images.

    Always below PSNR, by the mean square of the reference: `snr = psnr + 10 log10(mean g^2)`.

    Args:
        image, reference, mask: as for `psnr`.

    Returns:
        (B,) dB, float64; nan where the mask is empty.

    >>> import torch
    >>> snr(torch.full((1, 1, 8, 8), 0.6), torch.full((1, 1, 8, 8), 0.5)).round(decimals=4)
    tensor([13.9794], dtype=torch.float64)
    """
    check_pair(image, reference)
    field = inside(mask, image)
    noise = ((precise(image) - precise(reference)).square() * field).sum(dim=(1, 2, 3))
    signal = (precise(reference).square() * field).sum(dim=(1, 2, 3))
    return 10 * (signal / noise).log10()


def ssim(
    image: Tensor, reference: Tensor, mask: Tensor | None = None, window: Literal["gaussian", "uniform"] = "gaussian"
) -> Tensor:
    """Structural similarity, as its authors define it; kornia's `ssim` map, averaged.

    Setting: Gaussian window of 11 x 11, sigma 1.5, weights that sum to 1 (variances divided by N, not N - 1),
    K1 = 0.01, K2 = 0.03, range 1, windows that lie inside the frame, no down-sampling, mean of the channels. It is
    scikit-image's with `gaussian_weights=True, sigma=1.5, use_sample_covariance=False` on what remains when 5 pixels
    are cut from its full map.

    Args:
        image, reference: (B, C, H, W) in [0, 1], C = 1 or 3, H and W at least 11.
        mask: (B, 1, H, W); only windows wholly inside it (at least 0.5) count, so that nothing outside does.
        window: "gaussian" as above; "uniform" is scikit-image's default, a mean over 7 x 7 with sample covariances
            (divided by N - 1), which several papers report.

    Returns:
        (B,) in [-1, 1], float64; nan where no window fits into the mask.

    Source: Wang, Bovik, Sheikh and Simoncelli, IEEE TIP 13(4), 2004, eq. 13.

    >>> import torch
    >>> image = torch.rand(2, 3, 32, 32)
    >>> ssim(image, image)
    tensor([1., 1.], dtype=torch.float64)
    """
    from kornia.metrics import ssim as ssim_map

    check_pair(image, reference, WINDOW)
    if window not in ("gaussian", "uniform"):
        raise ValueError(f"window = {window!r}: allowed is 'gaussian' or 'uniform'")
    if window == "uniform":
        similarity, cut = _uniform_ssim(precise(image), precise(reference)).mean(dim=1), UNIFORM // 2
    else:
        similarity = ssim_map(precise(image), precise(reference), WINDOW, eps=0.0, padding="valid").mean(dim=1)
        cut = WINDOW // 2
    whole = deep_inside(inside(mask, image), cut)[:, 0, cut:-cut, cut:-cut]
    return (similarity * whole).sum(dim=(1, 2)) / whole.sum(dim=(1, 2))


def _uniform_ssim(x: Tensor, y: Tensor) -> Tensor:
    """SSIM of each window of 7 x 7 inside the frame, per channel."""

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values, UNIFORM, stride=1)

    mean_x, mean_y = mean(x), mean(y)
    unbiased = UNIFORM**2 / (UNIFORM**2 - 1)
    variance_x, variance_y = (unbiased * (mean(v * v) - m * m) for v, m in ((x, mean_x), (y, mean_y)))
    covariance = unbiased * (mean(x * y) - mean_x * mean_y)
    c1, c2 = 0.01**2, 0.03**2
    return ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2)
    )
