"""The parameters of one pair: which degradation of a recipe makes the degraded image of the clean one."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from degrade import fov
from degrade.base import Degradation
from degrade.fit.pair_align import Alignment, align, overlap, refine
from degrade.fit.pair_descent import Target
from degrade.fit.pair_quantities import Quantity, quantities
from degrade.fit.pair_search import NARROW_RIM, PairError, polish, search
from degrade.images.image_io import to_float
from degrade.parameters import Parameters
from degrade.recipes import recipe as open_recipe

__all__ = ["SIZE", "PairError", "PairFit", "fit_pair"]

SIZE = 512
"""Side in pixels that a fit works at, at most."""
_LAID_AGAIN = 2
_LEAST_CHANGE = 0.5 / 255


@dataclass(frozen=True)
class PairFit:
    """What was done to one image.

    Args:
        recipe: whose parameters these are.
        parameters: (1, ...) for `recipe.apply(clean, parameters, mask)`.
        fitted: (1, C, H, W) what that makes of the clean image.
        clean, degraded: (1, C, H, W), the latter as it was laid on the clean one.
        mask: (1, 1, H, W)
        compared: (1, 1, H, W), 1 where both show something: less than the mask where the frame was moved.
        alignment: how the degraded frame lay.
        quantities: what acts, with errors.
        warnings: what should be known.
    """

    recipe: Degradation
    parameters: Parameters
    fitted: Tensor
    clean: Tensor
    degraded: Tensor
    mask: Tensor
    compared: Tensor
    alignment: Alignment
    quantities: tuple[Quantity, ...]
    warnings: tuple[str, ...]

    @property
    def residual(self) -> Tensor:
        """(1, C, H, W) degraded less fitted, 0 where they are not compared."""
        return (self.degraded - self.fitted) * self.compared

    @property
    def explained(self) -> float:
        """1 less the energy of the residual over that of the change: 1 for all of it, 0 for none."""
        change = ((self.degraded - self.clean) * self.compared).square().sum()
        return 1 - float(self.residual.square().sum() / change)

    @property
    def grey_levels(self) -> float:
        """Root mean square of the residual inside the field of view, in grey levels of 255."""
        return 255 * _root_mean_square(self.residual, self.compared)

    @property
    def change(self) -> float:
        """The same of the change."""
        return 255 * _root_mean_square(self.degraded - self.clean, self.compared)

    @property
    def type(self) -> str:
        """The stages that act, as recipes with types write them; empty for others."""
        return f"{int(self.parameters['type']):03b}" if "type" in self.parameters else ""


def fit_pair(
    clean: Tensor,
    degraded: Tensor,
    recipe: Degradation | str | os.PathLike[str] = "cofe-net",
    mask: Tensor | None = None,
    size: int = SIZE,
    seed: int = 0,
    align_frames: bool = True,
) -> PairFit:
    """Find the parameters with which a recipe makes one image of another.

    Frames are aligned (`degrade.fit.pair_align`), and once more to what was fitted. 64 keyed draws of the recipe are
    compared at 128 pixels; from the best ones damped Gauss-Newton steps go on at 128 and 256 pixels with robust
    weights and softened rims. Spots are put where the picture is brighter than that explains, and everything is
    refined at up to `size` pixels. A recipe whose type is random is fitted with and without light and blur, and the
    fewest stages that explain the picture (to 1.5 % of the mean absolute difference) are kept. Parameters that the
    recipe always draws alike are kept, others may go half a range further than it draws. Noise is left in the residual.

    Args:
        clean, degraded: (C, H, W) or (1, C, H, W), uint8, uint16 or float in [0, 1]. A degraded image of another size
            and the same proportions is resized.
        recipe: what `degrade.recipe` takes.
        mask: (1, H, W) or (1, 1, H, W), above 0.5 inside the field of view; estimated from the clean image if not
            given.
        size: side in pixels that is worked at, at most; at least 64. Residuals are of all pixels.
        seed: of the starts.
        align_frames: False for pairs that are known to lie on each other.

    Raises:
        PairError: images that differ in channels or proportions, that hardly differ at all, without a field of view;
            a recipe without anything to fit.

    >>> import degrade
    >>> clean, _, mask = degrade.phantom.fundus(degrade.make_keys(0, 1), 64)
    >>> dim = degrade.recipe("cataract", brightness=1.0, saturation=1.0)
    >>> degraded, truth = dim.sample(clean, degrade.make_keys(3, 1), mask)
    >>> found = fit_pair(clean, degraded, dim, mask)
    >>> found.explained > 0.99, bool((found.parameters["veil"] - truth["veil"]).abs() < 0.05)
    (True, True)
    """
    if size < 64:
        raise ValueError(f"size = {size}: at least 64 pixels")
    start = open_recipe(recipe)
    clean, degraded, mask = _checked(clean, degraded, mask, start)
    alignment = Alignment(0.0, 0.0, 1.0, 1.0, False)
    given = degraded
    if align_frames:
        degraded, alignment = align(clean, given, mask)
    inside = (mask > 0.5).to(clean)
    field = (start.field_of_view(given) > 0.5).to(inside) if alignment.moved else inside
    compared = overlap(inside, field, alignment)
    change = _root_mean_square(degraded - clean, compared)
    if change < _LEAST_CHANGE:
        raise PairError(f"the images hardly differ: by {255 * change:.2f} grey levels of 255")
    target = _framed(clean, degraded, inside, compared, start, size)
    numbers = search(target, start, seed)
    for _ in range(_LAID_AGAIN if alignment.moved else 0):
        fitted = start.apply(clean, _whole(numbers.base, start), inside)
        degraded, alignment = refine(fitted, given, compared, alignment)
        compared = overlap(inside, field, alignment)
        target = _framed(clean, degraded, inside, compared, start, size)
        numbers = polish(target, numbers, 6, 4)
    parameters = _whole(numbers.base, start)
    found = quantities(target.at(target.side, NARROW_RIM), numbers)
    if alignment.moved:
        found = tuple(_interpolated(one, min(clean.shape[-2:])) for one in found)
    with torch.no_grad():
        fitted = start.apply(clean, parameters, inside)
    fit = PairFit(start, parameters, fitted, clean, degraded, inside, compared, alignment, found, ())
    return replace(fit, warnings=tuple(_warnings(fit)))


def _root_mean_square(image: Tensor, mask: Tensor) -> float:
    return math.sqrt(float((image * mask).square().sum() / (mask.sum() * image.shape[1])))


def _interpolated(one: Quantity, side: int) -> Quantity:
    """What a frame that was moved tells of its blur: interpolation may have made half a pixel of it."""
    return replace(one, error=one.error + 0.5 / side) if one.name.startswith("blur") else one


def _checked(
    clean: Tensor, degraded: Tensor, mask: Tensor | None, recipe: Degradation
) -> tuple[Tensor, Tensor, Tensor]:
    first, second = (_float(image, name) for image, name in ((clean, "clean"), (degraded, "degraded")))
    if first.shape[1] != second.shape[1]:
        raise PairError(f"clean has {first.shape[1]} channels, degraded {second.shape[1]}: give both alike")
    if min(first.shape[-2:]) < 64:
        raise PairError(f"clean has {first.shape[-1]} x {first.shape[-2]} pixels: at least 64 x 64")
    if first.shape != second.shape:
        own, other = (image.shape[-1] / image.shape[-2] for image in (first, second))
        if abs(own / other - 1) > 0.02:
            raise PairError(
                f"clean has {first.shape[-1]} x {first.shape[-2]} pixels, degraded {second.shape[-1]} x "
                f"{second.shape[-2]}: not the same proportions"
            )
        second = functional.interpolate(second, first.shape[-2:], mode="bicubic", antialias=True).clamp(0, 1)
    if mask is None:
        mask = recipe.field_of_view(first)
    mask = mask.float().reshape(1, 1, *mask.shape[-2:])
    if mask.shape[-2:] != first.shape[-2:]:
        raise PairError(
            f"mask has {mask.shape[-1]} x {mask.shape[-2]} pixels, clean {first.shape[-1]} x {first.shape[-2]}"
        )
    if float((mask > 0.5).float().mean()) < 0.05:
        raise PairError("no field of view in the clean image, or in mask: less than 5 % of the frame")
    return first, second, mask


def _float(image: Tensor, name: str) -> Tensor:
    if image.ndim == 3:
        image = image[None]
    if image.ndim != 4 or image.shape[0] != 1 or image.shape[1] not in (1, 3):
        raise PairError(f"{name} has shape {tuple(image.shape)}: allowed is one image, (C, H, W) with C = 1 or 3")
    values = (image if image.is_floating_point() else to_float(image)).float()
    if not bool(((values >= 0) & (values <= 1)).all()):
        raise PairError(f"{name} has values outside [0, 1], or that are no numbers")
    return values


def _framed(clean: Tensor, degraded: Tensor, mask: Tensor, compared: Tensor, recipe: Degradation, size: int) -> Target:
    """What lengths refer to, at the size that is worked at: the square around the field, or the image."""
    if recipe.settings.get("frame") != "fov":
        return Target(clean, degraded, mask, compared, recipe).at(size)
    _, _, where = fov.crop(clean, mask)
    side = min(size, int(where.boxes[0, 2:].max()))
    first, inside, _ = fov.crop(clean, mask, side)
    second, _, _ = fov.crop(degraded, mask, side)
    both, _, _ = fov.crop(compared, mask, side)
    return Target(first.clamp(0, 1), second.clamp(0, 1), inside, (both > 0.9).to(inside), recipe)


def _whole(parameters: Parameters, recipe: Degradation) -> Parameters:
    """As `apply` takes them."""
    return {p.name: parameters[p.name].to(p.dtype).contiguous() for p in recipe.parameter_table}


def _warnings(fit: PairFit) -> list[str]:
    found = []
    if fit.alignment.hardly:
        found.append("the frames have little in common: are they a pair?")
    if fit.alignment.moved:
        found.append("the degraded frame was moved: that blurs it a little, which counts as blur")
    if fit.explained < 0.8:
        found.append(
            f"recipe {fit.recipe.name!r} explains {100 * fit.explained:.0f} % of the change only: "
            "something else was done, or the frames do not lie on each other"
        )
    if fit.change < 2:
        found.append(f"the images differ by {fit.change:.1f} grey levels only: numbers are uncertain")
    return found
