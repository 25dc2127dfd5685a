"""Classical denoisers of Poisson-Gaussian noise: an Anscombe transform around a denoiser of Gaussian noise."""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from degrade.settings import Number, Setting
from enhance.baseline import Baseline

_LEVELS = 255.0


def anscombe(image: Tensor, eta: float, sigma: float) -> Tensor:
    """2 sqrt(n + 3/8 + s^2): the noise of standard deviation 1, nearly, whatever the image.

    Args:
        image: in [0, 1], with Poisson(eta g) / eta + N(0, sigma^2) on grey levels g of 255.
        eta, sigma: photons per grey level, grey levels. n = eta g are photons, s = eta sigma.

    Source: Starck, Murtagh and Bijaoui, "Image Processing and Data Analysis", 1998, the generalized transform.
    """
    return 2 * (eta * _LEVELS * image + 3 / 8 + (eta * sigma) ** 2).clamp_min(0).sqrt()


def inverse_anscombe(transformed: Tensor, eta: float, sigma: float) -> Tensor:
    """The closed-form approximation of the exact unbiased inverse of `anscombe`; images in [0, 1].

    Source: Makitalo and Foi, "A Closed-Form Approximation of the Exact Unbiased Inverse of the Anscombe
    Variance-Stabilizing Transformation", IEEE TIP 20(9), 2011, and for the generalized one IEEE TIP 22(1), 2013.
    """
    d = transformed.clamp_min(2 * math.sqrt(3 / 8))
    root = math.sqrt(3 / 2)
    photons = d**2 / 4 + root / (4 * d) - 11 / (8 * d**2) + 5 * root / (8 * d**3) - 1 / 8 - (eta * sigma) ** 2
    return photons / (eta * _LEVELS)


class _Anscombe(Baseline):
    """A denoiser of Gaussian noise of standard deviation 1 between `anscombe` and its inverse."""

    settings_table: ClassVar[dict[str, Setting]] = {
        "eta": Number(1.0, (1e-3, 1e4), "photons per grey level", "of the noise"),
        "sigma": Number(10.0, (0.0, 255.0), "grey levels", "of its electronic part"),
    }

    def _enhance(self, image: Tensor, field: Tensor) -> Tensor:
        eta, sigma = self._number("eta"), self._number("sigma")
        return inverse_anscombe(self._denoised(anscombe(image, eta, sigma)), eta, sigma)

    @abstractmethod
    def _denoised(self, image: Tensor) -> Tensor:
        """(B, C, H, W) with noise of standard deviation 1 -> without."""


class AnscombeGaussian(_Anscombe):
    """Anscombe transform, Gaussian smoothing (kornia's, cut at 3 sigma), inverse; the noise levels are settings."""

    settings_table: ClassVar[dict[str, Setting]] = {
        **_Anscombe.settings_table,
        "radius": Number(1.0, (0.1, 50.0), "pixels", "standard deviation of the smoothing"),
    }

    def _denoised(self, image: Tensor) -> Tensor:
        from kornia.filters import gaussian_blur2d

        radius = self._number("radius")
        taps = 2 * math.ceil(3 * radius) + 1
        blurred: Tensor = gaussian_blur2d(image, (taps, taps), (radius, radius), border_type="replicate")
        return blurred


class AnscombeNonLocalMeans(_Anscombe):
    """Anscombe transform, non-local means (scikit-image's `denoise_nl_means`, fast mode), inverse.

    The levels of the noise are settings. On the CPU, image by image and channel by channel.

    Source: Buades, Coll and Morel, "A non-local algorithm for image denoising", CVPR 2005.

    Raises:
        ModuleNotFoundError: scikit-image is not installed.
    """

    settings_table: ClassVar[dict[str, Setting]] = {
        **_Anscombe.settings_table,
        "strength": Number(0.8, (0.05, 5.0), "of the noise", "h, the cut-off distance of patches"),
        "patch": Number(5, (3, 15), "pixels", "side of the patches; made odd"),
        "reach": Number(6, (1, 30), "pixels", "largest distance of the patches that are compared"),
    }

    def _denoised(self, image: Tensor) -> Tensor:
        try:
            from skimage.restoration import denoise_nl_means
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "anscombe-nlm needs scikit-image: pip install 'degrade-enhance[classical]'"
            ) from None
        patch = 2 * (int(self._number("patch")) // 2) + 1
        options = {"patch_size": patch, "patch_distance": int(self._number("reach")), "h": self._number("strength")}
        planes = image.detach().flatten(0, 1).cpu().numpy()
        smooth = [torch.from_numpy(denoise_nl_means(plane, sigma=1.0, fast_mode=True, **options)) for plane in planes]
        return torch.stack(smooth).reshape(image.shape).to(image)
