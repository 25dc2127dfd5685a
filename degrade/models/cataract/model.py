"""Cataract: a clouded lens as blur plus a bright veil that grows with the distance from a random point.

Source: Li et al., "An Annotation-free Restoration Network for Cataractous Fundus Images",
IEEE TMI 2022, the released code, at 512 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from degrade import fov
from degrade.backend import Operation
from degrade.base import Degradation
from degrade.call import Call
from degrade.models.cataract.table import PARAMETERS, PIXEL, SIDE, SMOOTHING
from degrade.ops import color as tone
from degrade.ops.blur import gaussian_blur, reach_of
from degrade.ops.fields import offsets
from degrade.parameters import Parameters, ParameterTable
from degrade.rng import keyed
from degrade.settings import Span, choice, drawn, ends, uniform, whole

_FACTOR = (0.0, 3.0)

_PLAIN = ("veil", "transmission", "contrast", "brightness", "saturation")

_FRAME = "what lengths and points refer to: fov, the square around the field of view; image, the whole file"


class Cataract(Degradation):
    """x' = clip(T G(x) + p v (max(G(x)) - G(x))), v the veil map in [0, 1]; then contrast, brightness, saturation.

    G is a blur of 1 to 7 taps, max the maximum of each channel over the frame, v the distance to a random point,
    smoothed, times the mask, divided by its maximum. The surround is black.

    Args:
        name, citation, validate: see `Degradation`.

    >>> import degrade
    >>> image, vessels, mask = degrade.phantom.fundus(degrade.make_keys(0, 1), 64)
    >>> Cataract(veil=0.7)(image, degrade.make_keys(0, 1), mask).shape
    torch.Size([1, 3, 64, 64])
    """

    parameter_table: ParameterTable = PARAMETERS
    operation: ClassVar[Operation] = Operation(
        "cataract",
        cpu="degrade.models.cataract.cpu:degrade",
        cpu_gradient="degrade.models.cataract.cpu_gradient:degrade",
    )
    has_field_of_view: ClassVar[bool] = True

    def __init__(
        self,
        name: str = "cataract",
        citation: str = "",
        validate: bool = False,
        *,
        blur_taps: Annotated[Span, drawn((0, 15), "", "n of the kernel's 2 n + 1 taps at 512 pixels", whole=True)] = (
            0,
            3,
        ),
        blur_sigma: Annotated[Span, drawn((0.0005, 0.5), SIDE, "standard deviation before cutting")] = (
            10 * PIXEL,
            30 * PIXEL,
        ),
        veil_offset: Annotated[
            Span, drawn((-0.5, 0.5), "of width, height", "where the veil is thinnest, from the middle")
        ] = (-0.3, 0.3),
        veil: Annotated[Span, drawn((0.0, 1.0), "", "opacity of the veil where it is thickest")] = (0.6, 0.8),
        transmission: Annotated[Span, drawn((0.0, 1.0), "factor", "light that the lens lets through")] = 0.8,
        contrast: Annotated[Span, drawn(_FACTOR, "factor", "contrast about the mean luma of the frame")] = (0.9, 1.3),
        brightness: Annotated[Span, drawn(_FACTOR, "factor", "brightness")] = (0.9, 1.0),
        saturation: Annotated[Span, drawn(_FACTOR, "factor", "saturation")] = (0.9, 1.3),
        frame: Annotated[Literal["fov", "image"], choice(_FRAME, "fov", "image")] = "fov",
    ) -> None:
        super().__init__(name, citation, validate, locals())

    def field_of_view(self, image: Tensor) -> Tensor:
        return fov.estimate(image)

    def refuses(self, name: str, image: Tensor) -> str:
        return "images are float64" if image.dtype == torch.float64 else ""

    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        streams = {**dict.fromkeys(_PLAIN, 1), "blur_taps": 1, "blur_sigma": 1, "veil_center": 2}
        u = keyed.uniforms(keys, streams)
        drawn = {name: uniform(self.settings[name], u[name][:, 0]) for name in _PLAIN}
        drawn["veil_center"] = 0.5 + uniform(self.settings["veil_offset"], u["veil_center"])
        taps = 2 * whole(*ends(self.settings["blur_taps"]), u["blur_taps"][:, 0]) + 1
        drawn["blur_kernel"] = (taps * PIXEL)[:, None].expand(-1, 2)
        drawn["blur_sigma"] = uniform(self.settings["blur_sigma"], u["blur_sigma"][:, 0])
        return {name: value.to(torch.float32) for name, value in drawn.items()}

    def _largest_drawn(self, height: int, width: int) -> Mapping[str, float]:
        return {"blur_kernel": (2 * ends(self.settings["blur_taps"])[1] + 1) * PIXEL}

    def _define(self, call: Call) -> Tensor:
        image, p, mask = call.image, call.parameters, call.mask
        assert mask is not None
        reach = reach_of(call.largest()["blur_kernel"], min(image.shape[-2:]))
        reach += int(p["blur_kernel"].requires_grad)  # of a whole kernel, the pair of taps that it gains next
        blurred = gaussian_blur(image, p["blur_kernel"], p["blur_sigma"], (reach, reach)).clamp(0, 1)
        transmission, veil = (p[name].view(-1, 1, 1, 1) for name in ("transmission", "veil"))
        brightest = blurred.amax(dim=(2, 3), keepdim=True)
        clouded = transmission * blurred + veil * veil_map(p["veil_center"], mask) * (brightest - blurred)
        clouded = tone.contrast(clouded.clamp(0, 1), p["contrast"])
        return tone.saturation(tone.brightness(clouded, p["brightness"]), p["saturation"]) * mask


def veil_map(center: Tensor, mask: Tensor) -> Tensor:
    """Thickness of the veil, (B, 1, H, W) in [0, 1]: distance to `center`, smoothed, inside the mask, maximum 1.

    Args:
        center: (B, 2), fractions of width and height.
        mask: (B, 1, H, W).
    """
    dx, dy = offsets(center, (mask.shape[-2], mask.shape[-1]))
    distance = (dx[:, None, None, :] ** 2 + dy[:, None, :, None] ** 2).clamp_min(1e-12).sqrt()
    kernel, sigma = (distance.new_full((len(distance), n), value) for n, value in zip((2, 1), SMOOTHING, strict=True))
    reach = reach_of(SMOOTHING[0], min(mask.shape[-2:]))
    distance = gaussian_blur(distance, kernel, sigma[:, 0], (reach, reach)) * mask
    return distance / distance.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12)
