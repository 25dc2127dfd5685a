"""Cataract: a clouded lens as blur plus a bright veil that grows with the distance from a random point.

Source: Li et al., "An Annotation-free Restoration Network for Cataractous Fundus Images",
IEEE TMI 2022, the released code, at 512 pixels.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from degrade import fov
from degrade.base import Degradation, Parameters
from degrade.ops import color as tone
from degrade.ops.blur import REFERENCE_SIDE, gaussian_blur, reach_of
from degrade.ops.fields import offsets
from degrade.rng import keyed
from degrade.settings import Range, Setting, ends, uniform, whole

_PX = 1 / REFERENCE_SIDE
_SMOOTHING = (5 * _PX, 1.1 * _PX)  # of the distance map: 5 x 5 taps, OpenCV's sigma for that size

SETTINGS: dict[str, Setting] = {
    "blur_taps": Range((0, 3), (0, 15), "", "n of the kernel's 2 n + 1 taps at 512 pixels", whole=True),
    "blur_sigma": Range((10 * _PX, 30 * _PX), (0.0005, 0.5), "of the side", "standard deviation before cutting"),
    "veil_offset": Range((-0.3, 0.3), (-0.5, 0.5), "of width, height", "where the veil is thinnest, from the middle"),
    "veil": Range((0.6, 0.8), (0.0, 1.0), "", "opacity of the veil where it is thickest"),
    "transmission": Range(0.8, (0.0, 1.0), "factor", "light that the lens lets through"),
    "contrast": Range((0.9, 1.3), (0.0, 3.0), "factor", "contrast about the mean luma of the frame"),
    "brightness": Range((0.9, 1.0), (0.0, 3.0), "factor", "brightness"),
    "saturation": Range((0.9, 1.3), (0.0, 3.0), "factor", "saturation"),
}

_STAGES = {
    "blur": ("blur_kernel",),
    "veil": ("veil", "transmission"),
    "colour": ("contrast", "brightness", "saturation"),
}
_NEUTRAL = {"blur_kernel": _PX, "veil": 0.0, "transmission": 1.0, "contrast": 1.0, "brightness": 1.0, "saturation": 1.0}
_PLAIN = ("veil", "transmission", "contrast", "brightness", "saturation")


class Cataract(Degradation):
    """x' = clip(T G(x) + p v (max(G(x)) - G(x))), v the veil map in [0, 1]; then contrast, brightness, saturation.

    G is a blur of 1 to 7 taps, max the maximum of each channel over the frame, v the distance to a random point,
    smoothed, times the mask, divided by its maximum. The surround is black.

    Args:
        name, citation, validate: see `Degradation`.
        settings: see `degrade.cataract.SETTINGS`.

    >>> import degrade
    >>> image, vessels, mask = degrade.phantom.fundus(degrade.make_keys(0, 1), 64)
    >>> Cataract(veil=0.7)(image, degrade.make_keys(0, 1), mask).shape
    torch.Size([1, 3, 64, 64])
    """

    settings_table = SETTINGS

    def __init__(self, name: str = "cataract", citation: str = "", validate: bool = False, **settings: Any) -> None:
        super().__init__(name, citation, validate, **settings)

    def field_of_view(self, image: Tensor) -> Tensor:
        return fov.estimate(image)

    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        streams = {**dict.fromkeys(_PLAIN, 1), "blur_taps": 1, "blur_sigma": 1, "veil_center": 2}
        u = keyed.uniforms(keys, streams)
        drawn = {name: uniform(self.settings[name], u[name][:, 0]) for name in _PLAIN}
        drawn["veil_center"] = 0.5 + uniform(self.settings["veil_offset"], u["veil_center"])
        taps = 2 * whole(*ends(self.settings["blur_taps"]), u["blur_taps"][:, 0]) + 1
        drawn["blur_kernel"] = (taps * _PX)[:, None].expand(-1, 2)
        drawn["blur_sigma"] = uniform(self.settings["blur_sigma"], u["blur_sigma"][:, 0])
        return {name: value.to(torch.float32) for name, value in drawn.items()}

    def stages(self, parameters: Parameters) -> dict[str, Parameters]:
        alone = {}
        for stage, kept in _STAGES.items():
            unchanged = {name: value for name, value in _NEUTRAL.items() if name not in kept}
            alone[stage] = parameters | {n: torch.full_like(parameters[n], value) for n, value in unchanged.items()}
        return alone

    def _degrade(self, image: Tensor, parameters: Parameters, mask: Tensor | None, *, drawn: bool) -> Tensor:
        dtype = image.dtype if image.dtype == torch.float64 else torch.float32
        mask = (self.field_of_view(image) if mask is None else mask).to(device=image.device, dtype=dtype)
        p = {name: value.to(device=image.device, dtype=dtype) for name, value in parameters.items()}
        side = min(image.shape[-2:])
        reach = None
        if drawn:  # known from the recipe, so that no call waits for the device
            reach = (reach_of((2 * ends(self.settings["blur_taps"])[1] + 1) * _PX, side),) * 2
        blurred = gaussian_blur(image.to(dtype), p["blur_kernel"], p["blur_sigma"], reach).clamp(0, 1)
        transmission, veil = (p[name].view(-1, 1, 1, 1) for name in ("transmission", "veil"))
        brightest = blurred.amax(dim=(2, 3), keepdim=True)
        clouded = transmission * blurred + veil * veil_map(p["veil_center"], mask) * (brightest - blurred)
        clouded = tone.contrast(clouded.clamp(0, 1), p["contrast"])
        clouded = tone.saturation(tone.brightness(clouded, p["brightness"]), p["saturation"])
        return (clouded * mask).to(image.dtype)


def veil_map(center: Tensor, mask: Tensor) -> Tensor:
    """Thickness of the veil, (B, 1, H, W) in [0, 1]: distance to `center`, smoothed, inside the mask, maximum 1.

    Args:
        center: (B, 2), fractions of width and height.
        mask: (B, 1, H, W).
    """
    dx, dy = offsets(center, (mask.shape[-2], mask.shape[-1]))
    distance = (dx[:, None, None, :] ** 2 + dy[:, None, :, None] ** 2).clamp_min(1e-12).sqrt()
    kernel, sigma = (distance.new_full((len(distance), n), value) for n, value in zip((2, 1), _SMOOTHING, strict=True))
    reach = reach_of(_SMOOTHING[0], min(mask.shape[-2:]))
    distance = gaussian_blur(distance, kernel, sigma[:, 0], (reach, reach)) * mask
    return distance / distance.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
