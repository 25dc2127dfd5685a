"""Corneal confocal microscopy: uneven illumination, blurred texture, few photons.

Xu et al. (SSP-Net) name these degradations, "heterogeneous illumination" and "blurred texture detail", and train on
unpaired images; no synthetic model is published with it. This one is ours, for paired evaluation at about 384 pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from degrade.base import Degradation, Parameters
from degrade.models.poisson_gaussian import reference as pixel_noise
from degrade.ops.blur import REFERENCE_SIDE, gaussian_blur, reach_of
from degrade.ops.poisson import LARGEST_RATE
from degrade.rng import keyed
from degrade.settings import Range, Setting, ends, uniform

_LEVELS = 255.0
_SIDE = 384  # pixels of the microscope's frames, which the published words speak of
_REACH = 8  # width of the blur's kernel, in standard deviations: four to either side
_GRID = 33  # points along a side on which the extremes of an illumination are found
_MOST = LARGEST_RATE / _LEVELS

SETTINGS: dict[str, Setting] = {
    "gain_low": Range((0.4, 0.9), (0.0, 3.0), "factor", "illumination where it is weakest"),
    "gain_high": Range((0.9, 1.3), (0.0, 3.0), "factor", "illumination where it is strongest"),
    "haze": Range((0.0, 0.08), (0.0, 1.0), "full scale", "light scattered into the frame where there is most of it"),
    "blur_sigma": Range((0.5 / _SIDE, 2.5 / _SIDE), (1e-5, 0.1), "of the side", "standard deviation of the blur"),
    "eta": Range((0.5, 2.0), (1e-3, _MOST), "photons per grey level", "photons counted: the more, the less noise"),
    "sigma": Range((1.0, 6.0), (0.0, 255.0), "grey levels of 255", "standard deviation of the electronic noise"),
}

_PLAIN = tuple(SETTINGS)
_STAGES = {
    "illumination": ("gain_low", "gain_high", "haze"),
    "blur": ("blur_sigma",),
    "noise": ("eta", "sigma"),
}
_NEUTRAL = {"gain_low": 1.0, "gain_high": 1.0, "haze": 0.0, "blur_sigma": 1e-5, "eta": _MOST, "sigma": 0.0}


class Cornea(Degradation):
    """x' = clip(N(G(clip(gain x + haze)))): illumination, optics, then Poisson-Gaussian noise as in `PoissonGaussian`.

    Gain and haze are quadratic surfaces over the frame: the gain from `gain_low` to `gain_high`, the haze from 0 to
    `haze`. The blur is a Gaussian, cut where it no longer matters. The noise is per pixel, in grey levels of 255,
    whatever the resolution; everything else means the same at every resolution. A mask changes nothing.

    Args:
        name, citation, validate: see `Degradation`.
        settings: see `degrade.cornea.SETTINGS`. All numbers are ours.

    >>> import degrade
    >>> Cornea(blur_sigma=2 / 384)(torch.full((2, 1, 96, 96), 0.4), degrade.make_keys(0, 2)).shape
    torch.Size([2, 1, 96, 96])
    """

    settings_table = SETTINGS

    def __init__(self, name: str = "cornea", citation: str = "", validate: bool = False, **settings: Any) -> None:
        super().__init__(name, citation, validate, **settings)

    def stages(self, parameters: Parameters) -> dict[str, Parameters]:
        # the least noise that can be asked for is a thousandth of white, not quite none
        return {
            stage: parameters | {n: torch.full_like(parameters[n], v) for n, v in _NEUTRAL.items() if n not in kept}
            for stage, kept in _STAGES.items()
        }

    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        u = keyed.uniforms(keys, {**dict.fromkeys(_PLAIN, 1), "gain_shape": 5, "haze_shape": 5})
        drawn = {name: uniform(self.settings[name], u[name][:, 0]) for name in _PLAIN}
        drawn |= {name: _normalised(2 * u[name] - 1) for name in ("gain_shape", "haze_shape")}
        result = {name: value.to(torch.float32) for name, value in drawn.items()}
        return result | {"noise_key": keyed.fold_in(keys, "noise")}

    def _degrade(self, image: Tensor, parameters: Parameters, mask: Tensor | None, *, drawn: bool) -> Tensor:
        dtype = image.dtype if image.dtype == torch.float64 else torch.float32
        p = {
            n: v.to(device=image.device, dtype=dtype if v.is_floating_point() else None) for n, v in parameters.items()
        }
        column = {name: p[name].view(-1, 1, 1, 1) for name in _PLAIN}
        gain, haze = (surface(p[name], image.shape[-2], image.shape[-1]) for name in ("gain_shape", "haze_shape"))
        gain = column["gain_low"] + (column["gain_high"] - column["gain_low"]) * gain
        lit = (gain * image.to(dtype) + column["haze"] * haze).clamp(0, 1)
        kernel = _REACH * p["blur_sigma"] + 1 / REFERENCE_SIDE
        reach = None
        if drawn:  # known from the recipe, so that no call waits for the device
            widest = _REACH * ends(self.settings["blur_sigma"])[1] + 1 / REFERENCE_SIDE
            reach = (reach_of(widest, min(image.shape[-2:])),) * 2
        blurred = gaussian_blur(lit, kernel[:, None].expand(-1, 2), p["blur_sigma"], reach).clamp(0, 1)
        draw = pixel_noise.fast_noisy if self.compiled else pixel_noise.noisy
        noisy = draw(blurred, p["eta"] * _LEVELS, p["sigma"] / _LEVELS, p["noise_key"], clip=True)
        return noisy.to(image.dtype)


def surface(shape: Tensor, height: int, width: int) -> Tensor:
    """Quadratic surfaces over a frame: (B, 6) coefficients of 1, x, y, x^2, xy, y^2 -> (B, 1, H, W).

    x and y go from -1 to 1 between the frame's edges; pixels are taken at their centres.
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
