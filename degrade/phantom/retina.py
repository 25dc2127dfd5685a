"""Procedural fundus photographs: disc, macula, vessel trees and fundus texture, with vessel and field masks.

Everything is drawn in fractions of the frame's side, noise included, so a key is one eye at any resolution. Color
follows Beer and Lambert: a reflectance, dimmed by what lies before it (blood, macular pigment, choroidal vessels) at
the strength that each absorbs red, green and blue.
"""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from degrade.isolation import isolated
from degrade.phantom import plane, vessels
from degrade.rng import keyed

_DRAWS = {
    "radius": (0.465, 0.492),  # of the field of view
    "cut": (-0.10, 0.10),  # of the frame above and below that is cut off; below zero none
    "left": (0.0, 1.0),  # below one half a left eye, its disc on the left
    "shift_x": (-0.03, 0.03),  # the field's content against the field
    "shift_y": (-0.03, 0.03),
    "centre": (0.0, 0.55),  # 0: the macula in the middle; 1: the disc
    "span": (0.29, 0.335),  # disc to macula, about 15 degrees
    "drop": (0.0, 0.05),  # of the macula below the disc
    "disc": (0.056, 0.070),  # radius
    "disc_squeeze": (0.86, 0.98),
    "cup": (0.36, 0.58),  # its radius in the disc's
    "disc_light": (0.95, 1.2),
    "tortuosity": (0.6, 1.5),
    "red": (0.62, 0.78),
    "green": (0.46, 0.60),  # in red's share
    "blue": (0.46, 0.66),  # in green's share
    "vignette": (0.18, 0.42),
    "tilt": (-0.10, 0.10),  # of the lighting, left to right and top to bottom
    "tilt_y": (-0.10, 0.10),
    "macula": (0.20, 0.45),  # absorbance of its pigment
    "macula_width": (0.040, 0.060),
    "blood": (0.80, 1.15),
    "choroid": (0.0, 0.13),  # how visible its vessels are
    "fibres": (0.0, 0.10),  # sheen of the nerve fibre layer
    "grain": (0.6, 1.3),
    "blur": (0.0007, 0.0012),  # of the optics, standard deviation
    "surround": (0.0, 0.012),
}
"""What is drawn for an eye, each uniform in its range; lengths are fractions of the frame's side."""

_ABSORBS = {
    vessels.ARTERY: (0.14, 0.66, 0.50),
    vessels.VEIN: (0.42, 0.98, 0.62),
}
"""Absorbance in red, green and blue of a wide vessel at its middle."""

_OCTAVES = {0.30: 0.050, 0.14: 0.030, 0.06: 0.018, 0.025: 0.011, 0.011: 0.009, 0.006: 0.010, 0.003: 0.012}
"""Texture: cell size of each lattice -> the standard deviation of its noise."""


@torch.no_grad()
@isolated
def fundus(keys: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Retinal photographs with the masks of their vessels and of their field of view.

    Args:
        keys: (B,) int64, as from `degrade.rng.keyed.make_keys`. A picture depends on its key alone, and the same key at
            another size is the same picture.
        size: side N of the square frames, at least 32.

    Returns:
        (image, vessels, fov), on the keys' device (drawn on the CPU): (B, 3, N, N) float32 in [0, 1] and twice
        (B, 1, N, N) float32 in {0, 1}. Vessels are within the field.

    Raises:
        ValueError: `size` is below 32, or the keys are not a row.

    >>> image, tree, fov = fundus(keyed.make_keys(0, 2), 64)
    >>> image.shape, tree.shape, fov.shape
    (torch.Size([2, 3, 64, 64]), torch.Size([2, 1, 64, 64]), torch.Size([2, 1, 64, 64]))
    >>> bool((tree <= fov).all())
    True
    """
    if keys.ndim != 1:
        raise ValueError(f"keys must have shape (B,); got {tuple(keys.shape)}")
    if size < 32:
        raise ValueError(f"size must be at least 32; got {size}")
    # one eye at a time: sums and exponentials of a batch could round otherwise than those of one
    keys_here = keys.cpu()
    eyes = [_eye(keys_here[index : index + 1], size) for index in range(len(keys))]
    shapes = ((0, 3, size, size), (0, 1, size, size), (0, 1, size, size))
    planes = zip(*eyes, strict=True) if eyes else ([torch.zeros(shape)] for shape in shapes)
    image, tree, fov = (torch.cat(list(plane)).to(keys.device) for plane in planes)
    return image, tree, fov


def _eye(key: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """One eye (1, ., N, N) from one key (1,)."""
    drawn = keyed.uniforms(key, {f"phantom.fundus.{name}": 1 for name in _DRAWS})
    p = {name: low + (high - low) * float(drawn[f"phantom.fundus.{name}"]) for name, (low, high) in _DRAWS.items()}
    macula = (0.5 + p["shift_x"] + p["centre"] * p["span"], 0.5 + p["shift_y"] + 0.5 * p["drop"])
    disc = (macula[0] - p["span"], macula[1] - p["drop"])
    anatomy = vessels.Anatomy(disc, p["disc"], macula, p["radius"] + 0.02, p["tortuosity"])
    numbers = keyed.uniforms(key, {"phantom.fundus.vessels": 1 << 15})["phantom.fundus.vessels"][0].tolist()
    depth, reflex, mask = vessels.draw(vessels.grow(anatomy, itertools.cycle(numbers).__next__), size)

    x, y = plane.axes(size)
    image = _background(key, p, x, y, size)
    image = _lay_disc(image, key, p, disc, x, y, size)
    image = image * _macula(p, macula, x, y)
    blood = torch.tensor([_ABSORBS[vessels.ARTERY], _ABSORBS[vessels.VEIN]]) * p["blood"]
    image = image * torch.exp(-(blood[:, :, None, None] * depth[:, None]).sum(0))
    image = image + reflex * torch.tensor([0.19, 0.09, 0.05])[:, None, None]
    image = plane.blur(image * _lighting(p, x, y), p["blur"] * size)

    # the distance to the nearest edge of the field, in pixels: positive inside
    cut = 0.5 - max(p["cut"], 0.0)
    from_middle = ((x - 0.5) ** 2 + (y - 0.5) ** 2).sqrt()
    inside = torch.minimum(p["radius"] - from_middle, cut - (y - 0.5).abs()) * size
    cover = (inside / max(1.0, 0.0016 * size) + 0.5).clamp(0, 1)
    image = image.clamp(0, 1) * cover + p["surround"] * (1 - cover)
    fov = (inside > 0).float()
    dims = (-1,) if p["left"] > 0.5 else ()
    return image.flip(dims)[None], (mask * fov).flip(dims)[None, None], fov.flip(dims)[None, None]


def _noise(key: Tensor, name: str, rows: int, columns: int, size: int) -> Tensor:
    """(N, N) smooth noise of standard deviation about one from a rows x columns lattice over the frame."""
    return plane.noise(key, f"phantom.fundus.{name}", (rows, columns), size)


def _texture(key: Tensor, p: dict[str, float], size: int) -> Tensor:
    """(N, N) relative brightness of the fundus about 1: blotches of all sizes."""
    texture = torch.zeros(size, size)
    for cell, deviation in _OCTAVES.items():
        count = round(1 / cell) + 1
        texture += deviation * _noise(key, f"texture{count}", count, count, size)
    return torch.exp(p["grain"] * texture)


def _background(key: Tensor, p: dict[str, float], x: Tensor, y: Tensor, size: int) -> Tensor:
    """(3, N, N): pigment epithelium with its texture, choroidal vessels shining through, nerve fibres on top."""
    green = p["red"] * p["green"]
    color = torch.tensor([p["red"], green, green * p["blue"]])[:, None, None]
    texture = _texture(key, p, size)
    # choroidal vessels are where a noise of their width passes through zero; broad, unsharp and reddish
    warp = _noise(key, "choroid_warp", 9, 9, size)
    choroid = torch.exp(-(((_noise(key, "choroid", 26, 20, size) + 0.6 * warp) / 0.45) ** 2))
    choroid = choroid + 0.5 * torch.exp(-((_noise(key, "choroid_fine", 44, 36, size) / 0.5) ** 2))
    strength = p["choroid"] * torch.tensor([-0.3, 1.0, 0.8])[:, None, None]
    tint = _noise(key, "tint", 5, 5, size) * torch.tensor([-0.01, 0.035, 0.05])[:, None, None]
    ripple = torch.tensor([0.7, 1.15, 1.0])[:, None, None]
    return color * texture**ripple * torch.exp(tint - strength * (choroid - 0.6))


def _lay_disc(
    image: Tensor, key: Tensor, p: dict[str, float], disc: tuple[float, float], x: Tensor, y: Tensor, size: int
) -> Tensor:
    """The background with the optic disc on it: rim, cup, glow and the sheen of the fibres that leave it."""
    dx, dy = (x - disc[0]) / p["disc_squeeze"], y - disc[1]
    rho = (dx**2 + dy**2).sqrt() / p["disc"]
    wobble = 0.025 * _noise(key, "disc_edge", 14, 14, size)
    inside = torch.sigmoid((1 - rho + wobble) / 0.045)
    cup_rho = ((dx - 0.14 * p["disc"]) ** 2 + (dy * 0.92) ** 2).sqrt() / (p["disc"] * p["cup"])
    cup = torch.sigmoid((1 - cup_rho + 2 * wobble) / 0.16)
    temporal = (dx / p["disc"]).clamp(-1, 1)
    rim_color = torch.tensor([0.98, 0.68, 0.42])[:, None, None] * torch.exp(
        temporal * torch.tensor([0.01, 0.08, 0.04])[:, None, None]
    )
    cup_color = torch.tensor([1.0, 0.88, 0.62])[:, None, None]
    grain = 1 + 0.03 * _noise(key, "disc_grain", 60, 60, size)
    color = (rim_color * (1 - 0.85 * cup) + 0.85 * cup * cup_color) * p["disc_light"] * grain
    # light scattered by the disc, and a darker ring of pigment at its edge
    glow = torch.exp(-((rho - 1).clamp(min=0) / 0.55)) * torch.tensor([0.10, 0.08, 0.05])[:, None, None]
    pigment = 1 - 0.10 * torch.exp(-(((rho - 1.12) / 0.08) ** 2)) * (0.5 + 0.5 * temporal)
    angle = torch.atan2(dy.expand_as(rho), dx.expand_as(rho))
    streaks = _polar_noise(key, angle, rho * p["disc"])
    arcades = (angle.abs() / math.pi * 2.2 - 1).abs().clamp(max=1)  # fibres are thickest above and below
    sheen = p["fibres"] * (1 - arcades**2) * torch.exp(-(rho - 1).clamp(min=0) / 3.0) * (1 + 0.35 * streaks)
    sheen = sheen * torch.tensor([0.8, 1.0, 0.9])[:, None, None]
    return (image * pigment + glow + sheen) * (1 - inside) + color * inside


def _polar_noise(key: Tensor, angle: Tensor, distance: Tensor) -> Tensor:
    """(N, N) noise that is fine around a point and long away from it: streaks that fan out."""
    stream = "phantom.fundus.streaks"
    lattice = keyed.uniforms(key, {stream: 6 * 240})[stream].float().view(1, 1, 6, 240)
    lattice = F.pad((lattice - 0.5) * 3.5, (1, 1, 0, 0), mode="circular")
    column = (angle / math.pi) * 240 / 242
    grid = torch.stack([column, distance / 0.5 * 2 - 1], dim=-1)[None]
    return F.grid_sample(lattice, grid, mode="bilinear", padding_mode="border", align_corners=False)[0, 0]


def _macula(p: dict[str, float], macula: tuple[float, float], x: Tensor, y: Tensor) -> Tensor:
    """(3, N, N): what the pigment of macula and fovea lets through."""
    square = (x - macula[0]) ** 2 + (y - macula[1]) ** 2
    width = p["macula_width"]
    pigment = 0.45 * torch.exp(-square / (2 * (1.7 * width) ** 2)) + 0.55 * torch.exp(
        -square / (2 * (0.55 * width) ** 2)
    )
    absorbs = torch.tensor([0.55, 1.0, 1.15])[:, None, None] * p["macula"] * 1.3
    return torch.exp(-absorbs * pigment)


def _lighting(p: dict[str, float], x: Tensor, y: Tensor) -> Tensor:
    """(3, N, N): darker towards the rim, red the least, and brighter to one side."""
    square = ((x - 0.5) ** 2 + (y - 0.5) ** 2) / p["radius"] ** 2
    falloff = torch.tensor([0.8, 1.1, 1.0])[:, None, None] * p["vignette"]
    side = 1 + p["tilt"] * (x - 0.5) * 2 + p["tilt_y"] * (y - 0.5) * 2
    return torch.exp(-falloff * square * (0.4 + 0.6 * square)) * side
