"""Fundus: light transmission disturbance, retinal artifacts and blur, as Cofe-Net models and releases them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from degrade import fov, kernels
from degrade.base import Degradation, Parameters, check_values
from degrade.models.fundus import inplace
from degrade.models.fundus import reference as stages
from degrade.models.fundus import sampling as law
from degrade.ops.blur import reach_of
from degrade.rng import keyed
from degrade.settings import ends

_AT_ONCE = 1 << 22
"""Numbers (16 MiB of float32) of images that a CPU works on at once on the batched route: of tensors above 32 MiB the
system makes each one's memory anew, which takes longer than the work."""


class Route(Enum):
    """The ways to the same picture; the first is the definition, and what gradients and torch.compile take."""

    BATCHED = "batched"
    IN_PLACE = "in place"
    NUMBA = "numba"
    TRITON = "triton"


def choose(image: Tensor, *, differentiable: bool, exact: bool, emulate_8bit: bool) -> Route:
    """The fastest way for these images that gives what is asked for."""
    if differentiable or torch.compiler.is_compiling():
        return Route.BATCHED
    plain = not emulate_8bit and image.dtype != torch.float64
    if plain and not exact and kernels.triton_serves(image.device):
        return Route.TRITON
    if plain and kernels.numba_serves(image.device):
        return Route.NUMBA
    return Route.IN_PLACE if image.device.type == "cpu" else Route.BATCHED


class Fundus(Degradation):
    """The degradations of Cofe-Net: illumination (colour, halo, hole), then spots, then blur, then the mask.

    Source: Shen, Fu, Shen, Shao, "Modeling and Enhancing Low-Quality Retinal Fundus Images", IEEE TMI 40(3), 2021,
    and the code released with it; docs/recipes/cofe-net.md says where the two differ. The defaults are the release.

    Every parameter is in units that do not depend on the resolution, so one key gives the same picture at 256 and
    at 2048 pixels. Inside the field of view the picture is degraded, outside it is black.

    Args:
        name, citation, validate: see `Degradation`.
        settings: see `degrade.models.fundus.sampling.SETTINGS`. `softness` above 0 (2/512 looks the same) gives halo,
            hole and spots a gradient in their centres and radii.

    With gradients, and under torch.compile, the batch is worked on as a whole. Without them each image is worked on in
    cache on a CPU (by Numba's loops where Numba is installed, extra "fast"), and by fused Triton kernels on a GPU. The
    numbers agree to half a grey level (wide fields are interpolated), or to rounding with `exact=True`. `compile()`
    compiles the work on whole batches, that with gradients: one graph for all batch sizes, and a graph for each number
    of a blur's and a spot's taps, which grow with the images.

    >>> import degrade
    >>> image, vessels, mask = degrade.phantom.fundus(degrade.make_keys(0, 2), 64)
    >>> d = degrade.recipe("cofe-net", brightness=(0.5, 0.8), type="011")
    >>> degraded, parameters = d.sample(image, degrade.make_keys(0, 2), mask)
    >>> degraded.shape, parameters["brightness"].max() <= 0.8
    (torch.Size([2, 3, 64, 64]), tensor(True))
    """

    settings_table = law.SETTINGS
    looks_at_values = True

    def __init__(self, name: str = "cofe-net", citation: str = "", validate: bool = False, **settings: Any) -> None:
        super().__init__(name, citation, validate, **settings)

    def field_of_view(self, image: Tensor) -> Tensor:
        return fov.estimate(image)

    def _draw(self, keys: Tensor, height: int, width: int) -> Parameters:
        return law.draw(self.settings, keys, height, width)

    def stages(self, parameters: Parameters) -> dict[str, Parameters]:
        names = [name for name in law.STAGES if name != "noise" or self.settings["noise"] != 0]
        alone = {}
        for name in names:
            bit = torch.full_like(parameters["type"], law.STAGES[name][0])
            alone[name] = {**law.neutral(parameters, keep=(name,)), "type": bit}
        return alone

    def _degrade(self, image: Tensor, parameters: Parameters, mask: Tensor | None, *, drawn: bool) -> Tensor:
        dtype = image.dtype if image.dtype == torch.float64 else torch.float32
        mask = (self.field_of_view(image) if mask is None else mask).to(device=image.device, dtype=dtype)
        p = parameters
        if not drawn or dtype != torch.float32:  # else they are as needed
            p = {
                name: value.to(image.device, dtype if value.is_floating_point() else value.dtype)
                for name, value in parameters.items()
            }
        exact, emulate_8bit = bool(self.settings["exact"]), bool(self.settings["emulate_8bit"])
        gradients = torch.is_grad_enabled() and any(value.requires_grad for value in (image, mask, *p.values()))
        differentiable = gradients or ends(self.settings["softness"])[0] > 0
        route = choose(image, differentiable=differentiable, exact=exact, emulate_8bit=emulate_8bit)
        if route is not Route.NUMBA and (image.device.type == "cpu" or self.validate):
            check_values(image.detach())
        if route is Route.TRITON:
            from degrade.models.fundus import gpu as on_gpu

            return on_gpu.degrade(image.detach(), p, mask, self._most(image, p, drawn), self._noisy(drawn))
        if route is Route.NUMBA:
            from degrade.models.fundus import cpu as on_cpu

            degraded = on_cpu.degrade(image.detach(), p, mask, exact=exact, drawn=drawn)
        elif route is Route.IN_PLACE:
            degraded = inplace.degrade(image.detach(), p, mask, dtype, exact=exact, emulate_8bit=emulate_8bit)
        else:
            degraded = self._batched(image.to(dtype), p, mask, emulate_8bit, drawn)
        return degraded.to(image.dtype)

    def _most(self, image: Tensor, p: Parameters, drawn: bool) -> Mapping[str, float]:
        """The largest kernels, which decide the shapes of the work.

        Known from the recipe for drawn parameters, so that no call waits for the device; measured for given ones.
        """
        if drawn:
            return law.bounds(self.settings, *image.shape[-2:])
        names = ("spot_radius", "spot_kernel", "blur_kernel", "halo_kernel", "hole_kernel")
        return {name: stages.largest(p[name]) for name in names}

    def _noisy(self, drawn: bool) -> bool:
        """Whether there may be noise."""
        return not drawn or self.settings["noise"] != 0

    def _batched(self, image: Tensor, p: Parameters, mask: Tensor, emulate_8bit: bool, drawn: bool) -> Tensor:
        side = min(image.shape[-2:])
        softness = ends(self.settings["softness"])[0]
        most = self._most(image, p, drawn)
        spot_reach = stages.spot_reach(most["spot_radius"], most["spot_kernel"], side, softness)
        normals = None
        if self._noisy(drawn):  # drawn out here: in a compiled graph, random bits would be the compiler's affair
            normals = keyed.normals(p["noise_key"], "pixel", tuple(image.shape[1:]), image.dtype)
        fixed = (spot_reach, reach_of(most["blur_kernel"], side), softness, emulate_8bit)
        compiling = torch.compiler.is_compiling()
        if self.compiled and not compiling:
            return _compiled()(image, p, mask, normals, *fixed)
        if compiling or image.device.type != "cpu" or not image.numel():
            return stages.chain(image, p, mask, normals, *fixed)
        degraded = []
        few = max(_AT_ONCE // math.prod(image.shape[1:]), 1)
        for start in range(0, image.shape[0], few):
            some = slice(start, start + few)
            own = {name: value[some] for name, value in p.items()}
            noise = None if normals is None else normals[some]
            degraded.append(stages.chain(image[some], own, mask[some], noise, *fixed))
        return torch.cat(degraded)


@functools.cache
def _compiled() -> Callable[..., Tensor]:
    compiled: Callable[..., Tensor] = torch.compile(stages.chain, dynamic=True)
    return compiled
