"""Fundus: light transmission disturbance, retinal artifacts and blur, as Cofe-Net models and releases them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal

import torch
from torch import Tensor

from degrade import fov
from degrade.backend import Operation
from degrade.base import Degradation
from degrade.call import Call
from degrade.models.fundus import reference, sampling
from degrade.models.fundus.constants import TYPES
from degrade.models.fundus.table import PARAMETERS, STAGE_BITS, WIDEST_BLUR
from degrade.ops.blur import reach_of
from degrade.ops.constants import REFERENCE_SIDE
from degrade.parameters import Parameters, ParameterTable
from degrade.rng import keyed
from degrade.settings import Span, choice, drawn, ends, fixed

_AT_ONCE = 1 << 22
"""Numbers (16 MiB of float32) of images that the definition works on at once on a CPU: of tensors above 32 MiB the
system makes each one's memory anew, which takes longer than the work."""

_PX = 1 / REFERENCE_SIDE

_FACTOR = (0.0, 3.0)
_SIDE = "of the side"
_TYPES = (
    "which degradations act, a digit each for blur, spots, illumination; random: one of the seven, equal chances; "
    "independent: each with a probability of its own"
)
_HOW_OFTEN = "how often {} acts, for type independent"
_RIM = "rim of halo, hole and spots; 0, the release's hard disks, has no gradient in centers and radii"
_EXACT = "every pixel of halo and hole computed, instead of interpolated (to 0.5/255)"
_8BIT = "the release's rounding: Pillow's 8-bit color, truncated output"
_NOISE = "standard deviation of the noise after the blur, in 512-pixel frames"
_FRAME = "what lengths and points refer to: fov, the square around the field of view; image, the whole file"
_SPREAD = "how far the ring reaches, from the inner disk (0) to the corners"


class Fundus(Degradation):
    """The degradations of Cofe-Net: illumination (color, halo, hole), then spots, then blur, then the mask.

    Source: Shen, Fu, Shen, Shao, "Modeling and Enhancing Low-Quality Retinal Fundus Images", IEEE TMI 40(3), 2021,
    and the code released with it; docs/recipes/cofe-net.md says where the two differ. The defaults are the release.

    Every parameter is in units that do not depend on the resolution, so one key gives the same picture at 256 and
    at 2048 pixels. Inside the field of view the picture is degraded, outside it is black. With `frame="fov"` lengths,
    points and means refer to the square around the field of view, as in the release, which crops to it: what black a
    camera has left around the disc changes nothing inside it. With "image" they refer to the whole file.

    On a CPU a call is served by Numba's loops, with gradients as well as without; on a GPU, without gradients or
    softness, by fused Triton kernels. The definition in torch, which works on the batch as a whole, serves the rest:
    float64, `emulate_8bit`, masks that require a gradient, gradients of gradients. The numbers agree to half a grey
    level and gradients to a hundredth (wide fields are interpolated), or to rounding with `exact=True`. `compile()`
    compiles the definition: one graph for all batch sizes, and a graph for each number of a blur's and a spot's taps,
    which grow with the images. `softness` above 0 (2/512 looks the same) gives halo, hole and spots a gradient in
    their centers and radii.

    Args:
        name, citation, validate: see `Degradation`.

    Raises:
        ValueError: a setting that is not allowed; a blur kernel of more than 1.5 times the side.

    >>> import degrade
    >>> image, vessels, mask = degrade.phantom.fundus(degrade.make_keys(0, 2), 64)
    >>> d = degrade.models.Fundus(brightness=(0.5, 0.8), type="011")
    >>> degraded, parameters = d.sample(image, degrade.make_keys(0, 2), mask)
    >>> degraded.shape, parameters["brightness"].max() <= 0.8
    (torch.Size([2, 3, 64, 64]), tensor(True))
    """

    parameter_table: ParameterTable = PARAMETERS
    operation: ClassVar[Operation] = Operation(
        "fundus",
        cpu="degrade.models.fundus.cpu:degrade",
        gpu="degrade.models.fundus.gpu:degrade",
        cpu_gradient="degrade.models.fundus.cpu_gradient:degrade",
    )
    has_field_of_view: ClassVar[bool] = True

    def __init__(
        self,
        name: str = "cofe-net",
        citation: str = "",
        validate: bool = False,
        *,
        type: Annotated[
            Literal["random", "001", "010", "011", "100", "101", "110", "111", "independent"],
            choice(_TYPES, "random", *TYPES, "independent"),
        ] = "random",
        illumination_probability: Annotated[float, fixed((0.0, 1.0), "", _HOW_OFTEN.format("illumination"))] = 0.5,
        spots_probability: Annotated[float, fixed((0.0, 1.0), "", _HOW_OFTEN.format("spots"))] = 0.5,
        blur_probability: Annotated[float, fixed((0.0, 1.0), "", _HOW_OFTEN.format("blur and noise"))] = 0.5,
        brightness: Annotated[Span, drawn(_FACTOR, "factor", "brightness")] = (0.7, 1.2),
        contrast: Annotated[Span, drawn(_FACTOR, "factor", "contrast about the mean luma of the frame")] = (0.6, 1.4),
        saturation: Annotated[Span, drawn(_FACTOR, "factor", "saturation")] = (0.6, 1.4),
        halo_tint: Annotated[
            Span, drawn((0, 2), "", "color of the light leak: 0 white, 1 cyan, 2 green-yellow", whole=True)
        ] = (1, 2),
        halo_offset: Annotated[Span, drawn((-0.5, 0.5), "of width, height", "center of the halo, from the middle")] = (
            -0.125,
            0.125,
        ),
        halo_diameter: Annotated[Span, drawn((0.05, 2.0), _SIDE, "inner diameter of the halo's ring")] = (0.75, 1.0),
        halo_spread: Annotated[Span, drawn((0.0, 2.0), "", _SPREAD)] = (0.0, 1.0),
        halo_strength: Annotated[
            Span, drawn(_FACTOR, "mean grey", "brightness of the ring, in units of the image's mean")
        ] = 1.0,
        hole_diameter: Annotated[Span, drawn((0.02, 2.0), "of the width", "diameter of the dark disk")] = (0.4, 0.7),
        hole_x: Annotated[Span, drawn((0.0, 1.0), "of the width", "center of the dark disk")] = (0.25, 0.75),
        hole_y: Annotated[Span, drawn((0.0, 1.0), "of the height", "center of the dark disk")] = (0.375, 0.625),
        hole_kernel: Annotated[
            Span, drawn((0.0, 1.0), "of its diameter", "width and height of the disk's blur, two sides at most")
        ] = (0.55, 0.75),
        hole_depth: Annotated[
            Span, drawn((0.0, 1.0), "full scale", "darkening d of the amplitude -(d + s a), a the mean")
        ] = (0.26, 0.262),
        hole_slope: Annotated[Span, drawn((0.0, 1.0), "per mean grey", "slope s of that amplitude")] = (0.05, 0.06),
        hole_threshold: Annotated[
            Span, drawn((0.0, 1.0), "mean grey", "images no brighter than this inside the field are spared")
        ] = 0.25,
        spot_count: Annotated[Span, drawn((0, 64), "", "number of spots", whole=True)] = (5, 10),
        spot_radius: Annotated[Span, drawn((0.002, 0.075), _SIDE, "size of a spot; its disk has half this radius")] = (
            0.01,
            0.05,
        ),
        spot_kernel: Annotated[Span, drawn((0.0, 1.0), "of its sigma", "width and height of a spot's blur kernel")] = (
            0.2,
            0.25,
        ),
        blur_sigma: Annotated[Span, drawn((0.0005, 0.5), _SIDE, "nominal standard deviation of the blur")] = (
            5 * _PX,
            15 * _PX,
        ),
        blur_kernel: Annotated[Span, drawn((0.0, 8.0), "of its sigma", "width and height of the kernel: what acts")] = (
            1 / 3,
            1 / 2,
        ),
        noise: Annotated[Span, drawn((0.0, 1.0), "full scale", _NOISE)] = 0.0,
        frame: Annotated[Literal["fov", "image"], choice(_FRAME, "fov", "image")] = "fov",
        softness: Annotated[float, fixed((0.0, 0.1), _SIDE, _RIM)] = 0.0,
        emulate_8bit: Annotated[bool, choice(_8BIT)] = False,
        exact: Annotated[bool, choice(_EXACT)] = False,
    ) -> None:
        super().__init__(name, citation, validate, locals())
        widest = self._largest_drawn(REFERENCE_SIDE, REFERENCE_SIDE)["blur_kernel"]
        if widest > WIDEST_BLUR:
            raise ValueError(
                f"blur_kernel = {self.settings['blur_kernel']} of blur_sigma = {self.settings['blur_sigma']} means a "
                f"kernel of {widest:g} of the side; allowed is up to {WIDEST_BLUR:g}"
            )

    def field_of_view(self, image: Tensor) -> Tensor:
        return fov.estimate(image)

    def stages(self, parameters: Parameters) -> dict[str, Parameters]:
        alone = {}
        for name, bit in STAGE_BITS.items():
            if name != "noise" or self.settings["noise"] != 0:
                acting = torch.full_like(parameters["type"], bit)
                alone[name] = {**self.parameter_table.only(parameters, name), "type": acting}
        return alone

    def refuses(self, name: str, image: Tensor) -> str:
        if image.dtype == torch.float64:
            return "images are float64"
        for setting in ("emulate_8bit",) if name == "cpu" else ("emulate_8bit", "softness", "exact"):
            if self.settings[setting]:
                return f"{setting} = {self.settings[setting]}"
        return ""

    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        return sampling.draw(self.settings, keys, height, width)

    def _largest_drawn(self, height: int, width: int) -> Mapping[str, float]:
        return sampling.largest(self.settings, height, width)

    def _define(self, call: Call) -> Tensor:
        image, p, mask = call.image, call.parameters, call.mask
        assert mask is not None
        side = min(image.shape[-2:])
        softness = ends(self.settings["softness"])[0]
        most = call.largest()
        # where a kernel's last pair of taps is whole, its gradient is that of the pair that it gains next
        spot_more, blur_more = (int(p[name].requires_grad) for name in ("spot_kernel", "blur_kernel"))
        window, spot_taps = reference.spot_reach(most["spot_radius"], most["spot_kernel"], side, softness)
        normals = None
        if most["noise"] != 0:  # drawn out here: in a compiled graph, the compiler would choose the random bits
            normals = keyed.normals(p["noise_key"], "pixel", tuple(image.shape[1:]), image.dtype)
        spot_reach, blur_reach = (window + spot_more, spot_taps + spot_more), reach_of(most["blur_kernel"], side)
        fixed_ = (spot_reach, blur_reach + blur_more, softness, bool(self.settings["emulate_8bit"]))
        compiling = torch.compiler.is_compiling()
        if self.compiled and not compiling:
            return _compiled()(image, p, mask, normals, *fixed_)
        if compiling or image.device.type != "cpu" or not image.numel():
            return reference.chain(image, p, mask, normals, *fixed_)
        degraded = []
        few = max(_AT_ONCE // math.prod(image.shape[1:]), 1)
        for start in range(0, image.shape[0], few):
            some = slice(start, start + few)
            own = {name: value[some] for name, value in p.items()}
            noise = None if normals is None else normals[some]
            degraded.append(reference.chain(image[some], own, mask[some], noise, *fixed_))
        return torch.cat(degraded)


@functools.cache
def _compiled() -> Callable[..., Tensor]:
    compiled: Callable[..., Tensor] = torch.compile(reference.chain, dynamic=True)
    return compiled
