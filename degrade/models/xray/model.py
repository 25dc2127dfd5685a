"""X-ray noise: photons are counted (Poisson), then the electronics add their own (Gaussian).

Source: Wang et al., "X-ray Image Blind Denoising in Hybrid Noise Based on Convolutional Neural Networks" (X-BDCNN),
WI-IAT 2021. The paper does not print where eta enters; the noisy PSNRs of its Table II do: Var f = g / eta + sigma^2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from degrade.base import Degradation, Parameters
from degrade.models.poisson_gaussian import reference as pixel_noise
from degrade.ops.poisson import LARGEST_RATE
from degrade.rng import keyed
from degrade.settings import Choice, Number, Range, Setting, ends, uniform

SETTINGS: dict[str, Setting] = {
    "eta": Range((0.4, 1.9), (1e-3, 1e6), "photons per grey level", "photons counted: the more, the less noise"),
    "sigma": Range((0.0, 20.0), (0.0, 65535.0), "grey levels", "standard deviation of the electronic noise"),
    "clip": Choice(True, (False, True), "cut values below black and above white"),
    "levels": Number(255.0, (1.0, 65535.0), "grey levels", "grey level of full white: the scale of eta and sigma"),
}


class PoissonGaussian(Degradation):
    """f = Poisson(eta g) / eta + N(0, sigma^2) on the grey-level scale g = levels * image; then clipped, if `clip`.

    E f = g, Var f = g / eta + sigma^2, independent from pixel to pixel and from channel to channel. Without `clip`
    the result leaves [0, 1], on both sides. `apply` has gradients in the image, in eta and in sigma: those of E[f]
    and E[f^2] are exact (see `degrade.ops.poisson.poisson` for what they are and are not).

    The whole frame is exposed: a mask changes nothing, and none is estimated.

    `compile()` makes calls without gradients several times faster, after some ten seconds of compiling at the first;
    the random words are the same, and the counts but for a handful of pixels.

    Args:
        name, citation: see `Degradation`.
        validate: look at pixels and parameters that are on a GPU too; see `Degradation`.
        settings: see `degrade.models.xray.SETTINGS`. eta * levels, the photons at full white, may be up to 1e6.

    >>> import degrade
    >>> image = torch.full((2, 1, 64, 64), 0.5)
    >>> PoissonGaussian(eta=0.4, sigma=5)(image, degrade.make_keys(0, 2)).shape
    torch.Size([2, 1, 64, 64])
    """

    settings_table = SETTINGS

    def __init__(self, name: str = "x-bdcnn", citation: str = "", validate: bool = False, **settings: Any) -> None:
        super().__init__(name, citation, validate, **settings)
        most = ends(self.settings["eta"])[1] * self.levels
        if most > LARGEST_RATE:
            raise ValueError(
                f"eta = {self.settings['eta']} at levels = {self.levels:g} means {most:g} photons at full white; "
                f"allowed are up to {LARGEST_RATE:g}, eta up to {LARGEST_RATE / self.levels:g}"
            )

    @property
    def levels(self) -> float:
        """The grey level of full white."""
        return ends(self.settings["levels"])[0]

    def stages(self, parameters: Parameters) -> dict[str, Parameters]:
        # a million photons at white, the most there may be, are a thousandth of noise, not quite none
        bright = torch.full_like(parameters["eta"], LARGEST_RATE / self.levels)
        quiet = torch.zeros_like(parameters["sigma"])
        return {"photons": {**parameters, "sigma": quiet}, "electronics": {**parameters, "eta": bright}}

    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        u = keyed.uniforms(keys, {"eta": 1, "sigma": 1})
        drawn: Parameters = {
            name: uniform(self.settings[name], u[name][:, 0]).to(torch.float32) for name in ("eta", "sigma")
        }
        return drawn | {"noise_key": keyed.fold_in(keys, "noise")}

    def _degrade(self, image: Tensor, parameters: Parameters, mask: Tensor | None, *, drawn: bool) -> Tensor:
        dtype = image.dtype if image.dtype == torch.float64 else torch.float32
        eta, sigma = (parameters[name].to(device=image.device, dtype=dtype) for name in ("eta", "sigma"))
        draw = pixel_noise.fast_noisy if self.compiled else pixel_noise.noisy
        keys = parameters["noise_key"].to(image.device)
        return draw(image, eta * self.levels, sigma / self.levels, keys, bool(self.settings["clip"]))

    def _check_parameters(self, parameters: Any, image: Tensor) -> None:
        super()._check_parameters(parameters, image)
        most = LARGEST_RATE / self.levels
        for name, what, high in (("eta", "above 0 and", most), ("sigma", "at least 0 and", 65535.0)):
            value = parameters[name].detach()
            if value.shape != image.shape[:1]:
                raise ValueError(f"parameter {name!r} must be (B,), one per image; got {tuple(value.shape)}")
            if value.device.type != "cpu" and not self.validate:
                continue
            right = (value > 0 if name == "eta" else value >= 0) & (value <= high * (1 + 1e-6))  # false for NaN
            if not right.all():
                wrong = float(value[~right][0])
                raise ValueError(f"parameter {name!r} must be {what} at most {high:g}; it holds {wrong:g}")


def noise_level_maps(parameters: Parameters, height: int, width: int, levels: float = 255.0) -> Tensor:
    """What X-BDCNN's noise estimation network learns: two maps, constant over each image, that grow with the noise.

    Args:
        parameters: as `PoissonGaussian` draws them: eta and sigma, (B,).
        height, width: of the images.
        levels: the grey level of full white that eta and sigma count in.

    Returns:
        (B, 2, H, W): sigma / levels; and 1 / sqrt(levels eta), the standard deviation of the Poisson noise at full
        white. Both for images in [0, 1].
    """
    eta, sigma = parameters["eta"], parameters["sigma"]
    maps = torch.stack((sigma / levels, (levels * eta).rsqrt()), dim=1)
    return maps[:, :, None, None].expand(-1, -1, height, width)


def standard_deviation_map(image: Tensor, parameters: Parameters, levels: float = 255.0) -> Tensor:
    """sqrt(x / (levels eta) + (sigma / levels)^2) for each pixel x: the noise before clipping.

    Args:
        image: (B, C, H, W) in [0, 1], without noise.
        parameters: eta and sigma, (B,).
        levels: as for `noise_level_maps`.

    Returns:
        (B, C, H, W), for images in [0, 1].
    """
    eta, sigma = (parameters[name].to(image).view(-1, 1, 1, 1) for name in ("eta", "sigma"))
    return (image / (levels * eta) + (sigma / levels) ** 2).sqrt()


def to_detector(eta: Any, sigma: Any, levels: float = 255.0) -> tuple[Any, Any]:
    """(eta, sigma) in detector units: photons per pixel at full white, and electronic noise in photons.

    A detector counts n ~ Poisson(photons x) for a pixel x in [0, 1], adds N(0, electronic^2), and is scaled to
    levels (n + noise) / photons. Compared with Poisson(eta g) / eta + N(0, sigma^2) at g = levels x:
    photons = eta levels, and sigma = electronic levels / photons, so electronic = eta sigma.

    Args:
        eta, sigma: numbers or tensors.
        levels: the grey level of full white.

    >>> to_detector(0.4, 5.0)
    (102.0, 2.0)
    """
    return eta * levels, eta * sigma


def from_detector(photons: Any, electronic: Any, levels: float = 255.0) -> tuple[Any, Any]:
    """`to_detector` the other way: eta = photons / levels, sigma = electronic levels / photons.

    >>> from_detector(102.0, 2.0)
    (0.4, 5.0)
    """
    return photons / levels, electronic * levels / photons
