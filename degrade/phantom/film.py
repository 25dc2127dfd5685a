"""What makes a phantom radiograph look like one from an archive, drawn broadly rather than after one look.

Added to the attenuation: shapes with sharp outlines, lines, wires, and texture from the size of a vessel down to grain;
then exposure, contrast and sharpness of the film, letters on it, and what a collimator leaves dark or white. Ranges are
wide on purpose: a network that has seen many kinds of film finds a real one among them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from degrade.phantom import plane
from degrade.rng import keyed

_DRAWS = {
    "texture": (-2.5, 0.2),  # log of the strength of the fine texture
    "decay": (0.15, 0.75),  # its deviation falls as cell ** decay
    "lungs": (0.4, 1.0),  # how much stronger in air than in the body
    "patches": (0.0, 0.6),  # how much its strength varies from place to place
    "grain": (0.0, 0.008),
    "shapes": (-4.2, -2.0),  # log of their attenuation
    "lines": (-4.2, -2.2),
    "gamma": (-0.55, 0.45),  # log
    "exposure": (-0.35, 0.35),  # log
    "black": (0.0, 0.13),
    "white": (0.86, 1.0),
    "blur": (0.0002, 0.0011),
    "sharpen": (-1.0, 1.0),  # unsharp mask; below zero none
    "frame": (-1.6, 1.0),  # collimation; below zero none
    "tilt": (-0.04, 0.04),
    "fade": (-7.5, -4.0),  # log of the width of the collimator's penumbra
    "outside": (0.0, 1.0),
}
"""What is drawn for a film, each uniform in its range."""

_CELLS = (0.04, 0.022, 0.010, 0.005, 0.0025, 0.0013)
_OUTLINES = (0.30, 0.18, 0.11, 0.07, 0.045, 0.03)
_GLYPH = (5, 4)  # dots of a letter, rows and columns

Uniform = Callable[[], float]


def film(key: Tensor, total: Tensor, body: Tensor, air: Tensor, size: int) -> Tensor:
    """(N, N) image in [0, 1] of an attenuation, by one key (1,).

    Args:
        key: as from `degrade.rng.keyed.make_keys`.
        total: (N, N) attenuation, about 0 to 2.
        body: (N, N) share of soft tissue, 0 outside the body.
        air: (N, N) share of air in the lungs.
        size: N.
    """
    p = plane.parameters(key, "phantom.film", _DRAWS)
    numbers = keyed.uniforms(key, {"phantom.film.numbers": 1 << 11})["phantom.film.numbers"][0].tolist()
    uniform = itertools.cycle(numbers).__next__
    within = 0.25 + 0.75 * body
    total = total + _outlines(key, p, uniform, size) * within
    total = total + _texture(key, p, size) * ((1 - p["lungs"]) * body + p["lungs"] * air + 0.05)
    total = total + _wires(key, uniform, size)
    shade = 1 - torch.exp(-1.5 * math.exp(p["exposure"]) * total.clamp(min=0) ** 1.35)
    image = p["black"] + (p["white"] - p["black"]) * shade ** math.exp(p["gamma"])
    image = _collimated(image, p, uniform, size)
    image = _lettered(image, uniform, size)
    image = plane.blur(image, p["blur"] * size)
    if p["sharpen"] > 0:
        image = image + p["sharpen"] * (image - plane.blur(image, 0.003 * size))
    return (image + p["grain"] * plane.noise(key, "phantom.film.grain", 0.0013, size)).clamp(0, 1)


def _outlines(key: Tensor, p: dict[str, float], uniform: Uniform, size: int) -> Tensor:
    """Level sets of smooth noise: areas with an outline of some sharpness, and lines along others."""
    total = torch.zeros(size, size)
    for number, cell in enumerate(_OUTLINES):
        field = plane.noise(key, f"phantom.film.shape{number}", cell, size)
        soft = math.exp(-3.5 + 3.0 * uniform())  # in units of the field, whose slope is about 1 / cell
        level = 2.0 * uniform() - 1.0
        area = math.exp(p["shapes"]) * (0.3 + 1.4 * uniform())
        total = total + area * torch.sigmoid((field - level) / soft)
        line = math.exp(p["lines"]) * (0.3 + 1.4 * uniform())
        half = (0.0008 + 0.003 * uniform()) / cell
        shift = 2.0 * uniform() - 1.0
        total = total + line * torch.exp(-(((field - shift) / half) ** 2)) * _cut(uniform, size)
    return total


def _cut(uniform: Uniform, size: int) -> Tensor:
    """A smooth half of the frame, so that lines end somewhere."""
    x, y = plane.axes(size)
    angle, place = 2 * math.pi * uniform(), 0.5 * uniform() - 0.25
    return torch.sigmoid(((x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle) - place) / 0.03)


def _texture(key: Tensor, p: dict[str, float], size: int) -> Tensor:
    """Noise of a power law, stronger in some places than in others."""
    octaves = {cell: 0.022 * (cell / 0.04) ** p["decay"] for cell in _CELLS}
    places = torch.exp(p["patches"] * plane.noise(key, "phantom.film.patches", 0.15, size))
    # the finest lattices have more points than small frames: no matter, they are averaged
    return math.exp(p["texture"]) * places * plane.texture(key, "phantom.film.texture", octaves, size)


def _wires(key: Tensor, uniform: Uniform, size: int) -> Tensor:
    """Up to three long curves of even thickness: wires, tubes and their like."""
    total = torch.zeros(size, size)
    for number in range(int(4 * uniform() ** 1.5)):
        field = plane.noise(key, f"phantom.film.wire{number}", 0.4, size)
        down, right = torch.gradient(field)
        steep = (down**2 + right**2).sqrt() * size
        away = field.sub(1.6 * uniform() - 0.8).abs() / steep.clamp(min=0.6)
        half = 0.0008 + 0.003 * uniform() ** 2
        wire = torch.sigmoid((half - away) / 0.0004)
        if uniform() < 0.4:  # a tube is lighter inside
            wire = wire - 0.6 * torch.sigmoid((0.55 * half - away) / 0.0004)
        total = total + (0.04 + 0.5 * uniform() ** 2) * wire * _cut(uniform, size)
    return total


def _collimated(image: Tensor, p: dict[str, float], uniform: Uniform, size: int) -> Tensor:
    """Beside the field that the collimator left, white or dark."""
    x, y = plane.axes(size)
    across, down = x - 0.5 + p["tilt"] * (y - 0.5), y - 0.5 - p["tilt"] * (x - 0.5)
    edges = [0.5 - 0.16 * p["frame"] * uniform() for _ in range(4)]
    if p["frame"] <= 0:
        return image
    inside = torch.stack(
        [place.expand_as(image) for place in (edges[0] - across, edges[1] + across, edges[2] - down, edges[3] + down)]
    ).amin(0)
    inside = torch.sigmoid(inside / math.exp(p["fade"]))
    outside = p["black"] * 0.5 if p["outside"] < 0.5 else p["white"]
    return inside * image + (1 - inside) * outside


def _lettered(image: Tensor, uniform: Uniform, size: int) -> Tensor:
    """Words of letter-like dots, white, grey or dark, or on a plate."""
    rows, columns = _GLYPH
    for _ in range(int(5 * uniform())):
        letters, dot = 1 + int(9 * uniform() ** 2), 0.002 + 0.008 * uniform() ** 2
        left, top = uniform() * 0.9, uniform() * 0.95
        ink = 0.75 + 0.25 * uniform() if uniform() < 0.8 else 0.05
        plate = uniform() < 0.25
        high, wide = rows * dot, letters * (columns + 1) * dot
        x0, x1, y0, y1 = (round(value * size) for value in (left, left + wide, top, top + high))
        bits = torch.tensor([uniform() for _ in range(rows * columns * letters)]) < 0.6
        drawn = torch.zeros(rows, letters, columns + 1)
        drawn[:, :, :columns] = bits.view(rows, letters, columns).float()
        x1, y1 = min(x1, size), min(y1, size)
        across = ((torch.arange(x0, x1) + 0.5) / size - left).div(dot).long().clamp(0, letters * (columns + 1) - 1)
        down = ((torch.arange(y0, y1) + 0.5) / size - top).div(dot).long().clamp(0, rows - 1)
        mark = drawn.view(rows, -1)[down][:, across]
        image = image.clone()
        place = image[y0:y1, x0:x1]
        image[y0:y1, x0:x1] = mark * ink + (1 - mark) * ((1 - ink) if plate else place)
    return image
