"""Corneal confocal microscopy: uneven illumination, blurred texture, few photons.

Xu et al. (SSP-Net) name these degradations, "heterogeneous illumination" and "blurred texture detail", and train on
unpaired images; no synthetic model is published with it. This one is ours, for paired evaluation at about 384 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from degrade.backend import Operation
from degrade.base import Degradation
from degrade.call import Call
from degrade.models.cornea.table import FACTOR, GREY, LEVELS, MOST_PHOTONS, PARAMETERS, REACH
from degrade.models.poisson_gaussian import reference as poisson_gaussian
from degrade.ops.blur import gaussian_blur, reach_of
from degrade.ops.constants import REFERENCE_SIDE
from degrade.parameters import Parameters, ParameterTable
from degrade.rng import keyed
from degrade.settings import Span, drawn, ends, uniform

_SIDE = 384  # pixels of the microscope's frames, which the published words speak of
_GRID = 33  # points along a side on which the extremes of an illumination are found

_PLAIN = ("gain_low", "gain_high", "haze", "blur_sigma", "eta", "sigma")


class Cornea(Degradation):
    """x' = clip(N(G(clip(gain x + haze)))): illumination, optics, then Poisson-Gaussian noise as in `PoissonGaussian`.

    Gain and haze are quadratic surfaces over the frame: the gain from `gain_low` to `gain_high`, the haze from 0 to
    `haze`. The blur is a Gaussian, cut where it no longer matters. The noise is per pixel, in grey levels of 255,
    whatever the resolution; everything else means the same at every resolution. A mask changes nothing. All numbers are
    ours.

    Args:
        name, citation, validate: see `Degradation`.

    >>> import degrade
    >>> Cornea(blur_sigma=2 / 384)(torch.full((2, 1, 96, 96), 0.4), degrade.make_keys(0, 2)).shape
    torch.Size([2, 1, 96, 96])
    """

    parameter_table: ParameterTable = PARAMETERS
    operation: ClassVar[Operation] = Operation(
        "cornea",
        cpu="degrade.models.cornea.cpu:degrade",
        cpu_gradient="degrade.models.cornea.cpu_gradient:degrade",
        contains=(poisson_gaussian.OPERATION,),
    )

    def __init__(
        self,
        name: str = "cornea",
        citation: str = "",
        validate: bool = False,
        *,
        gain_low: Annotated[Span, drawn(FACTOR, "factor", "illumination where it is weakest")] = (0.4, 0.9),
        gain_high: Annotated[Span, drawn(FACTOR, "factor", "illumination where it is strongest")] = (0.9, 1.3),
        haze: Annotated[
            Span, drawn((0.0, 1.0), "full scale", "light scattered into the frame where there is most of it")
        ] = (0.0, 0.08),
        blur_sigma: Annotated[Span, drawn((1e-5, 0.1), "of the side", "standard deviation of the blur")] = (
            0.5 / _SIDE,
            2.5 / _SIDE,
        ),
        eta: Annotated[
            Span, drawn((1e-3, MOST_PHOTONS), "photons per grey level", "photons counted: the more, the less noise")
        ] = (0.5, 2.0),
        sigma: Annotated[Span, drawn((0.0, 255.0), GREY, "standard deviation of the electronic noise")] = (1.0, 6.0),
    ) -> None:
        super().__init__(name, citation, validate, locals())

    @property
    def operations(self) -> tuple[Operation, ...]:
        return self.operation, poisson_gaussian.OPERATION

    def refuses(self, name: str, image: Tensor) -> str:
        return "images are float64" if image.dtype == torch.float64 else ""

    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        u = keyed.uniforms(keys, {**dict.fromkeys(_PLAIN, 1), "gain_shape": 5, "haze_shape": 5})
        drawn = {name: uniform(self.settings[name], u[name][:, 0]) for name in _PLAIN}
        drawn |= {name: _normalised(2 * u[name] - 1) for name in ("gain_shape", "haze_shape")}
        result = {name: value.to(torch.float32) for name, value in drawn.items()}
        return result | {"noise_key": keyed.fold_in(keys, "noise")}

    def _largest_drawn(self, height: int, width: int) -> Mapping[str, float]:
        return {"blur_sigma": ends(self.settings["blur_sigma"])[1]}

    def _define(self, call: Call) -> Tensor:
        image, p = call.image, call.parameters
        column = {name: p[name].view(-1, 1, 1, 1) for name in _PLAIN}
        gain, haze = (surface(p[name], image.shape[-2], image.shape[-1]) for name in ("gain_shape", "haze_shape"))
        gain = column["gain_low"] + (column["gain_high"] - column["gain_low"]) * gain
        lit = (gain * image + column["haze"] * haze).clamp(0, 1)
        kernel = REACH * p["blur_sigma"] + 1 / REFERENCE_SIDE
        reach = reach_of(REACH * call.largest()["blur_sigma"] + 1 / REFERENCE_SIDE, min(image.shape[-2:]))
        reach += int(p["blur_sigma"].requires_grad)  # of a whole kernel, the pair of taps that it gains next
        blurred = gaussian_blur(lit, kernel[:, None].expand(-1, 2), p["blur_sigma"], (reach, reach)).clamp(0, 1)
        photons, sigma = p["eta"] * LEVELS, p["sigma"] / LEVELS
        return poisson_gaussian.noisy(blurred, photons, sigma, p["noise_key"], clip=True)


def surface(shape: Tensor, height: int, width: int) -> Tensor:
    """Quadratic surfaces over a frame: (B, 6) coefficients of 1, x, y, x^2, xy, y^2 -> (B, 1, H, W).

    x and y go from -1 to 1 between the frame's edges; pixels are taken at their centers.
    """
    x, y = (((torch.arange(n, device=shape.device, dtype=shape.dtype) + 0.5) * (2 / n) - 1) for n in (width, height))
    return _quadratic(shape, x, y)


def _quadratic(shape: Tensor, x: Tensor, y: Tensor) -> Tensor:
    # one operation per element and no matrix product, whose rounding would depend on the batch
    one, a, b, aa, ab, bb = (term[:, None, None, None] for term in shape.unbind(1))
    y = y[:, None]
    return (one + a * x + aa * (x * x)) + y * (b + ab * x) + bb * (y * y)


def _normalised(shape: Tensor) -> Tensor:
    """(B, 5) coefficients of all terms but the constant -> (B, 6) of the surface scaled to go from 0 to 1."""
    raw = torch.cat([torch.zeros_like(shape[:, :1]), shape], dim=1)
    edge_to_edge = torch.linspace(-1, 1, _GRID, dtype=shape.dtype, device=shape.device)
    values = _quadratic(raw, edge_to_edge, edge_to_edge).flatten(1)
    low, high = values.amin(dim=1, keepdim=True), values.amax(dim=1, keepdim=True)
    raw = torch.cat([raw[:, :1] - low, raw[:, 1:]], dim=1)
    return raw / (high - low).clamp_min(1e-6)
