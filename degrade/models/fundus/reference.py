"""The stages of the Cofe-Net degradations, batched and differentiable: the definition that every other path equals.

Shen et al., IEEE TMI 40(3), 2021, as released. Each stage takes images (B, C, H, W) in [0, 1] and the parameters of
B samples (docs/parameters.md), and clips its result to [0, 1].
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from degrade.models.fundus.constants import BLUR, ILLUMINATION, SPOTS
from degrade.ops import color as tone
from degrade.ops.blur import blur_padded, gaussian_blur, reach_of, taps
from degrade.ops.fields import blur_field, disk, rim
from degrade.parameters import Parameters


def chain(
    image: Tensor,
    p: Parameters,
    mask: Tensor,
    normals: Tensor | None,
    spot_reach: tuple[int, int],
    blur_reach: int,
    softness: float = 0.0,
    emulate_8bit: bool = False,
) -> Tensor:
    """All stages, each where the sample's type asks for it, and the mask.

    Args:
        normals: what the noise is made of; None for no noise.
        spot_reach, blur_reach: of the largest spot and kernel, see `spot_reach` and `reach_of`.
    """

    def gate(bit: int, changed: Tensor, before: Tensor) -> Tensor:
        return torch.where(((p["type"] & bit) != 0).view(-1, 1, 1, 1), changed, before)

    lit = color(image, p, emulate_8bit)
    lit = hole(halo(lit, p, softness), p, mask, softness)
    image = gate(ILLUMINATION, lit, image)
    image = gate(SPOTS, spots(image, p, spot_reach, softness), image)
    blurred = blur(image, p, blur_reach)
    if normals is not None:
        blurred = noise(blurred, p, normals)
    image = gate(BLUR, blurred, image) * mask
    return tone.truncate(image) if emulate_8bit else image


def color(image: Tensor, p: Parameters, emulate_8bit: bool = False) -> Tensor:
    """Brightness, contrast, saturation, in this order."""
    image = tone.brightness(tone.quantise(image) if emulate_8bit else image, p["brightness"], emulate_8bit)
    image = tone.contrast(image, p["contrast"], emulate_8bit)
    return tone.saturation(image, p["saturation"], emulate_8bit)


def halo(image: Tensor, p: Parameters, softness: float = 0.0) -> Tensor:
    """Light leak: clip(x + mean(x) color G(ring)), ring = |disk(inner) - disk(outer)|, mean over the frame."""
    size = (image.shape[-2], image.shape[-1])
    inner, outer = (disk(p["halo_center"], p[radius], size, softness) for radius in ("halo_inner", "halo_outer"))
    kernel = p["halo_kernel"][:, None].expand(-1, 2)
    ring = blur_field((inner - outer).abs(), kernel, p["halo_sigma"])
    amount = p["halo_strength"] * image.mean(dim=(1, 2, 3))
    light = amount[:, None] * halo_light(p["halo_color"], image.shape[1])
    return (image + light[:, :, None, None] * ring[:, None]).clamp(0, 1)


def hole(image: Tensor, p: Parameters, mask: Tensor, softness: float = 0.0) -> Tensor:
    """Uneven exposure: clip(x - (d + s a) G(disk)) where a, the mean inside the field, exceeds the threshold."""
    size = (image.shape[-2], image.shape[-1])
    dark = blur_field(disk(p["hole_center"], p["hole_radius"], size, softness), p["hole_kernel"], p["hole_sigma"])
    area = image.shape[1] * mask.sum(dim=(1, 2, 3))
    mean = image.sum(dim=(1, 2, 3)) / area.clamp_min(1)
    amplitude = torch.where(mean > p["hole_threshold"], p["hole_depth"] + p["hole_slope"] * mean, 0.0)
    return (image - amplitude.view(-1, 1, 1, 1) * dark[:, None]).clamp(0, 1)


def spots(image: Tensor, p: Parameters, reach: tuple[int, int] | None = None, softness: float = 0.0) -> Tensor:
    """Retinal artifacts: clip(x + sum of G(disk)), all heights positive, so clipping once is clipping after each.

    `reach` is what `spot_reach` makes of the largest spot; found from the parameters if not given.
    """
    batch, _, height, width = image.shape
    if not batch or not p["spot_radius"].shape[1]:
        return image
    if reach is None:
        reach = spot_reach(largest(p["spot_radius"]), largest(p["spot_kernel"]), min(height, width), softness)
    patches, top, left = spot_patches(p, (height, width), reach, softness)
    span = torch.arange(patches.shape[-1], device=image.device)
    rows, columns = (start[..., None] + span for start in (top, left))
    inside = ((rows >= 0) & (rows < height))[..., :, None] & ((columns >= 0) & (columns < width))[..., None, :]
    pixel = rows.clamp(0, height - 1)[..., :, None] * width + columns.clamp(0, width - 1)[..., None, :]
    field = image.new_zeros(batch, height * width)
    field = field.scatter_add(1, pixel.flatten(1), torch.where(inside, patches, 0.0).flatten(1))
    return (image + field.view(batch, 1, height, width)).clamp(0, 1)


def blur(image: Tensor, p: Parameters, reach: int | None = None) -> Tensor:
    """The optics' blur, one kernel for all channels: clip(G(x))."""
    both = None if reach is None else (reach, reach)
    return gaussian_blur(image, p["blur_kernel"], p["blur_sigma"], both).clamp(0, 1)


def noise(image: Tensor, p: Parameters, normals: Tensor) -> Tensor:
    """clip(x + n): white noise of standard deviation `noise` at 512 pixels, elsewhere of the same density."""
    scale = p["noise"] * (min(image.shape[-2:]) / 512)
    return (image + scale.view(-1, 1, 1, 1) * normals).clamp(0, 1)


def halo_light(color: Tensor, channels: int) -> Tensor:
    """(B, 3) -> (B, C): the color of the light leak; its luma for grey images."""
    return color if channels == 3 else tone.luma(color[:, :, None, None]).view(-1, 1)


def spot_reach(radius: float, kernel: float, side: int, softness: float = 0.0) -> tuple[int, int]:
    """Pixels from a spot's center to the end of its patch, and of its kernel, for radii and kernels up to these."""
    reach = reach_of(kernel, side)
    return int((radius + softness) * side) + 2 + reach, reach


def spot_patches(
    p: Parameters, size: tuple[int, int], reach: tuple[int, int], softness: float = 0.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Each spot in a window of its own: patches (B, N, P, P), and the row and column of their corners (B, N)."""
    height, width = size
    side = min(size)
    batch, count = p["spot_radius"].shape
    span = torch.arange(-reach[0], reach[0] + 1, device=p["spot_center"].device)
    x, y = p["spot_center"][..., 0] * width - 0.5, p["spot_center"][..., 1] * height - 0.5
    left, top = (center.detach().round() for center in (x, y))
    dx, dy = (span + (corner - center)[..., None] for corner, center in ((left, x), (top, y)))
    radius = p["spot_radius"][..., None, None] * side
    disks = rim(dx[..., None, :] ** 2 + dy[..., :, None] ** 2, radius, softness * side)
    kernels = p["spot_kernel"].flatten(0, 1).T.flatten()  # of all spots along x, then along y
    x_taps, y_taps = taps(kernels, p["spot_sigma"].flatten().repeat(2), side, reach[1]).chunk(2)
    patches = blur_padded(functional.pad(disks.flatten(0, 1)[:, None], (reach[1],) * 4), x_taps, y_taps)
    patches = patches.view(batch, count, len(span), len(span))
    return patches * p["spot_height"][..., None, None], top.long() - reach[0], left.long() - reach[0]


def largest(values: Tensor) -> float:
    """The largest of the values; waits for the device."""
    return float(values.detach().max()) if values.numel() else 0.0
