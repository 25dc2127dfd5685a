"""Classical enhancement methods with the interface of the networks, as baselines.

    baseline("clahe", clip_limit=3).enhance(image, mask)

The filters are kornia's. BM3D, which X-BDCNN compares with, is not here: its package may not be used commercially.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from degrade.ops.color import luma
from degrade.settings import Number, Setting, closest
from enhance.baseline import Baseline
from enhance.denoisers import AnscombeGaussian, AnscombeNonLocalMeans


class Identity(Baseline):
    """Return the image unchanged."""

    def _enhance(self, image: Tensor, field: Tensor) -> Tensor:
        return image


class Clahe(Baseline):
    """Contrast limited adaptive histogram equalization, of grey images, or of the lightness L* of RGB ones.

    kornia's `equalize_clahe`: 256 bins; the clip limit is in multiples of the mean height of a bin, as OpenCV's.

    Source: Zuiderveld, Graphics Gems IV, 1994.
    """

    settings_table: ClassVar[dict[str, Setting]] = {
        "clip_limit": Number(2.0, (1.0, 256.0), "x mean", "height at which the histogram's bins are cut"),
        "tiles": Number(8, (1, 64), "", "tiles along each side, rounded down; at least 2 pixels each"),
    }

    def _enhance(self, image: Tensor, field: Tensor) -> Tensor:
        from kornia.color import lab_to_rgb, rgb_to_lab
        from kornia.enhance import equalize_clahe

        rows, columns = (min(int(self._number("tiles")), max(1, side // 2)) for side in image.shape[-2:])
        limit = self._number("clip_limit")
        if image.shape[1] == 1:
            equalised: Tensor = equalize_clahe(image.clamp(0, 1), limit, (rows, columns))
            return equalised
        lab = rgb_to_lab(image)
        lightness = equalize_clahe((lab[:, :1] / 100).clamp(0, 1), limit, (rows, columns))
        result: Tensor = lab_to_rgb(torch.cat([100 * lightness, lab[:, 1:]], dim=1))
        return result


class GreenClahe(Clahe):
    """CLAHE of the green channel of a photograph, in which the retina's contrast is, as published; red and blue stay.

    Often "Setiawan" in tables of peers means CLAHE of the lightness, which is `Clahe`. Grey images as in `Clahe`.

    Source: Setiawan, Mengko, Santoso and Suksmono, "Color Retinal Image Enhancement using CLAHE", ICISS 2013.
    """

    def _enhance(self, image: Tensor, field: Tensor) -> Tensor:
        if image.shape[1] == 1:
            return super()._enhance(image, field)
        return torch.cat([image[:, :1], super()._enhance(image[:, 1:2], field), image[:, 2:]], dim=1)


class LuminanceGain(Clahe):
    """Luminance gain by gamma correction, then CLAHE of the lightness.

    Each pixel's channels are multiplied by V^(1 / gamma) / V, V its largest channel (the value of HSV), so that hue and
    saturation stay; then `Clahe`.

    Source: Zhou, Jin, Ye, Chen and Ye, "Color Retinal Image Enhancement Based on Luminosity and Contrast Adjustment",
    IEEE TBME 65(3), 2018; gamma 2.2.
    """

    settings_table: ClassVar[dict[str, Setting]] = {
        **Clahe.settings_table,
        "gamma": Number(2.2, (1.0, 10.0), "", "exponent of the luminance gain; 1 leaves the luminance"),
    }

    def _enhance(self, image: Tensor, field: Tensor) -> Tensor:
        value = image.amax(dim=1, keepdim=True).clamp_min(1e-6)
        return super()._enhance((image * value ** (1 / self._number("gamma") - 1)).clamp(0, 1), field)


class DarkChannel(Baseline):
    """Dark channel prior: J = (I - A) / max(t, t_0) + A, with t = 1 - omega min_patch min_c (I / A).

    Somewhere in each patch of a clear picture some channel is nearly black; what is there instead is haze. A, its
    color, is that of the brightest pixel among the 0.1 % with the brightest dark channel. t is refined with kornia's
    `guided_blur`, guided by the luma. The paper's 15 pixels, at about 500 a side, are a fraction of the shorter side
    here. Outside the mask the image counts as its mean inside.

    Source: He, Sun and Tang, CVPR 2009; the guided filter instead of matting: He, Sun and Tang, ECCV 2010.
    """

    settings_table: ClassVar[dict[str, Setting]] = {
        "omega": Number(0.95, (0.0, 1.0), "", "share of the haze that is taken away"),
        "patch": Number(0.03, (0.002, 0.2), "of the side", "side of the patches that have a dark pixel"),
        "least": Number(0.1, (0.01, 1.0), "", "t_0, the smallest transmission"),
        "epsilon": Number(1e-3, (1e-8, 1.0), "", "regularization of the guided filter"),
    }

    def _enhance(self, image: Tensor, field: Tensor) -> Tensor:
        from kornia.filters import guided_blur

        inside = field >= 0.5
        count = inside.sum(dim=(2, 3), keepdim=True).clamp_min(1)
        filled = torch.where(inside, image, (image * inside).sum(dim=(2, 3), keepdim=True) / count)
        side = min(image.shape[-2:])
        patch = 2 * int(self._number("patch") * side / 2) + 1
        haze = self._haze(filled, inside, patch)
        transmission = 1 - self._number("omega") * _dark_channel(filled / haze, patch)
        reach = 2 * min(2 * patch, (side - 1) // 2) + 1
        guide = luma(filled)
        refined = guided_blur(
            guide, transmission, reach, self._number("epsilon"), border_type="replicate", separable=True
        )
        return (image - haze) / refined.clamp(self._number("least"), 1) + haze

    def _haze(self, image: Tensor, inside: Tensor, patch: int) -> Tensor:
        """A, (B, C, 1, 1)."""
        dark = _dark_channel(image, patch).masked_fill(~inside, -1.0).flatten(1)
        hazy = dark >= dark.topk(math.ceil(0.001 * dark.shape[1]), dim=1).values[:, -1:]
        brightest = luma(image).flatten(1).masked_fill(~hazy, -1.0).argmax(dim=1)
        chosen = brightest[:, None, None].expand(-1, image.shape[1], 1)
        return image.flatten(2).gather(2, chosen)[..., None].clamp_min(0.05)


class Gaussian(Baseline):
    """Gaussian smoothing: the plainest denoiser. kornia's `gaussian_blur2d`, cut at 3 sigma."""

    settings_table: ClassVar[dict[str, Setting]] = {
        "sigma": Number(1.0, (0.1, 50.0), "pixels", "standard deviation"),
    }

    def _enhance(self, image: Tensor, field: Tensor) -> Tensor:
        from kornia.filters import gaussian_blur2d

        sigma = self._number("sigma")
        taps = 2 * math.ceil(3 * sigma) + 1
        blurred: Tensor = gaussian_blur2d(image, (taps, taps), (sigma, sigma), border_type="replicate")
        return blurred


class Median(Baseline):
    """Median of a square of pixels, per channel. kornia's `median_blur`, edges replicated."""

    settings_table: ClassVar[dict[str, Setting]] = {
        "size": Number(3, (1, 15), "pixels", "side of the square; made odd"),
    }

    def _enhance(self, image: Tensor, field: Tensor) -> Tensor:
        from kornia.filters import median_blur

        size = 2 * (int(self._number("size")) // 2) + 1
        middle: Tensor = median_blur(image, size, border_type="replicate")
        return middle


BASELINES: dict[str, type[Baseline]] = {
    "identity": Identity,
    "clahe": Clahe,
    "clahe-green": GreenClahe,
    "luminance-gain": LuminanceGain,
    "dark-channel": DarkChannel,
    "gaussian": Gaussian,
    "median": Median,
    "anscombe-gaussian": AnscombeGaussian,
    "anscombe-nlm": AnscombeNonLocalMeans,
}


def baseline(name: str, **options: Any) -> Baseline:
    """A classical method by name.

    Args:
        name: one of `BASELINES`.
        options: for entries of its `settings_table`.

    Raises:
        ValueError: an unknown name or option, or a value out of range.

    >>> baseline("gaussian", sigma=2).enhance(torch.rand(1, 1, 33, 47)).shape
    torch.Size([1, 1, 33, 47])
    """
    if name not in BASELINES:
        raise ValueError(f"unknown baseline {name!r}{closest(name, BASELINES)}")
    return BASELINES[name](**options)


def _dark_channel(image: Tensor, patch: int) -> Tensor:
    """(B, C, H, W) -> (B, 1, H, W): the minimum over the channels and a square of `patch` pixels, odd."""
    return -F.max_pool2d(-image.amin(dim=1, keepdim=True), patch, stride=1, padding=patch // 2)
