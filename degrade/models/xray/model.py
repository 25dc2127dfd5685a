"""X-ray noise: photons are counted (Poisson), then the electronics add their own (Gaussian).

Source: Yin, Qi, Cai and Li, "X-Ray Image Enhancement Using Blind Denoising Neural Networks" (X-BDCNN). The paper does
not print where eta enters; the noisy PSNRs of its Table II do: Var f = g / eta + sigma^2.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from degrade.backend import Operation
from degrade.base import Degradation
from degrade.call import Call
from degrade.models.poisson_gaussian import reference as poisson_gaussian
from degrade.ops.poisson_constants import LARGEST_RATE
from degrade.parameters import Parameter, Parameters, ParameterTable
from degrade.rng import keyed
from degrade.settings import Span, choice, drawn, ends, fixed, uniform, whole

_PER_LEVEL, _GREY = "photons per grey level", "grey levels"
_MOST_STEPS = 2**24  # finer ones float32 cannot tell apart

PARAMETERS = ParameterTable(
    Parameter("eta", "photons counted", (1e-3, 1e6), _PER_LEVEL, stage="photons"),
    Parameter(
        "sigma", "standard deviation of the electronic noise", (0, 65535), _GREY, neutral=0.0, stage="electronics"
    ),
    Parameter("noise_key", "key of the uniforms and normals of the pixels", kind="key"),
)


class PoissonGaussian(Degradation):
    """f = Poisson(eta g) / eta + N(0, sigma^2) on the grey-level scale g = levels * image; then clipped, if `clip`.

    E f = g, Var f = g / eta + sigma^2, independent from pixel to pixel and from channel to channel. Without `clip`
    the result leaves [0, 1], on both sides. `apply` has gradients in the image, in eta and in sigma: those of E[f]
    and E[f^2] are exact (see `degrade.ops.poisson.poisson` for what they are and are not).

    The whole frame is exposed: a mask changes nothing, and none is estimated.

    Args:
        name, citation: see `Degradation`.
        validate: look at pixels and parameters that are on a GPU too; see `Degradation`.

    Raises:
        ValueError: a setting that is not allowed; eta * levels, the photons at full white, above 1e6.

    >>> import degrade
    >>> image = torch.full((2, 1, 64, 64), 0.5)
    >>> PoissonGaussian(eta=0.4, sigma=5)(image, degrade.make_keys(0, 2)).shape
    torch.Size([2, 1, 64, 64])
    """

    operation: ClassVar[Operation] = Operation("x-ray")

    def __init__(
        self,
        name: str = "x-bdcnn",
        citation: str = "",
        validate: bool = False,
        *,
        eta: Annotated[Span, drawn((1e-3, 1e6), _PER_LEVEL, "photons counted: the more, the less noise")] = (0.4, 1.9),
        sigma: Annotated[Span, drawn((0.0, 65535.0), _GREY, "standard deviation of the electronic noise")] = (
            0.0,
            20.0,
        ),
        clip: Annotated[bool, choice("cut values below black and above white")] = True,
        levels: Annotated[
            float, fixed((1.0, 65535.0), _GREY, "grey level of full white: the scale of eta and sigma")
        ] = 255.0,
        eta_step: Annotated[
            float, fixed((0.0, 1e6), _PER_LEVEL, "draw low, low + step, low + 2 step, ... of eta alone; 0 draws any")
        ] = 0.0,
        sigma_step: Annotated[float, fixed((0.0, 65535.0), _GREY, "the same for sigma; 0 draws any")] = 0.0,
    ) -> None:
        super().__init__(name, citation, validate, locals())
        most = ends(self.settings["eta"])[1] * self.levels
        if most > LARGEST_RATE:
            raise ValueError(
                f"eta = {self.settings['eta']} at levels = {self.levels:g} means {most:g} photons at full white; "
                f"allowed are up to {LARGEST_RATE:g}, eta up to {LARGEST_RATE / self.levels:g}"
            )
        self.parameter_table = PARAMETERS.with_allowed(eta=(1e-3, LARGEST_RATE / self.levels))

    @property
    def levels(self) -> float:
        """The grey level of full white."""
        return ends(self.settings["levels"])[0]

    @property
    def operations(self) -> tuple[Operation, ...]:
        return (poisson_gaussian.OPERATION,)

    def stages(self, parameters: Parameters) -> dict[str, Parameters]:
        # a million photons at white, the most there may be, are a thousandth of noise, not quite none
        bright = torch.full_like(parameters["eta"], LARGEST_RATE / self.levels)
        quiet = torch.zeros_like(parameters["sigma"])
        return {"photons": {**parameters, "sigma": quiet}, "electronics": {**parameters, "eta": bright}}

    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        u = keyed.uniforms(keys, {"eta": 1, "sigma": 1})
        drawn: Parameters = {name: self._level(name, u[name][:, 0]) for name in ("eta", "sigma")}
        return drawn | {"noise_key": keyed.fold_in(keys, "noise")}

    def _level(self, name: str, u: Tensor) -> Tensor:
        """eta or sigma from `u` in [0, 1): uniform over its range, or over the steps in it."""
        low, high = ends(self.settings[name])
        step = ends(self.settings[f"{name}_step"])[0]
        if (high - low) > _MOST_STEPS * step:
            return uniform(self.settings[name], u).to(torch.float32)
        last = math.floor((high - low) / step + 1e-6) if step else 0  # 1.4 / 0.1 is a little less than 14
        return (low + step * whole(0, last, u)).to(torch.float32)

    def _define(self, call: Call) -> Tensor:
        p = call.parameters
        clip = bool(self.settings["clip"])
        return poisson_gaussian.noisy(
            call.image, p["eta"] * self.levels, p["sigma"] / self.levels, p["noise_key"], clip
        )


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


def released_level_maps(parameters: Parameters, height: int, width: int, levels: float = 255.0) -> Tensor:
    """The two maps that the group's released code learns: sigma / 255, and eta as it is, in photons per level of 255.

    Arguments as of `noise_level_maps`; (B, 2, H, W). The second falls where the noise grows.
    """
    eta, sigma = parameters["eta"], parameters["sigma"]
    maps = torch.stack((sigma / levels, eta * levels / 255), dim=1)
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
