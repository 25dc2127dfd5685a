"""Procedural corneal confocal microscopy: nerve fibres of the sub-basal plexus, with their mask.

Fibres are drawn by the vessels' drawing, in two classes (bright and faint), and modulated by noise: finely for their
beads, slowly for the focal plane that they run into and out of. Lengths are fractions of the frame's side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from degrade.isolation import isolated
from degrade.phantom import plane, vessels
from degrade.rng import keyed

_DRAWS = {
    "direction": (-1.3, 0.2),  # of the fibres, radians; y grows downwards
    "spacing": (0.10, 0.17),  # between long fibres
    "wave": (0.6, 1.4),  # how much they wind
    "branches": (0.5, 1.5),
    "width": (0.8, 1.25),
    "dots": (1.0, 9.0),
    "base": (0.18, 0.26),  # grey of the background
    "bright": (0.38, 0.55),  # of the fibres above it
    "beads": (0.12, 0.24),
    "grain": (0.55, 0.9),
    "fall": (0.1, 0.5),  # of brightness towards the rim
    "x": (0.35, 0.65),  # where the frame is brightest
    "y": (0.35, 0.65),
}
"""What is drawn for a cornea, each uniform in its range."""

_STEP = 0.006
_SLOW = {0.34: 0.16, 0.15: 0.08}
_FINE = {0.05: 0.05, 0.018: 0.10, 0.009: 0.15, 0.0045: 0.17, 0.0026: 0.15}
_BRIGHT, _FAINT = vessels.ARTERY, vessels.VEIN


@torch.no_grad()
@isolated
def cornea(keys: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Confocal micrographs of the cornea's nerves, with the mask of the nerves.

    Args:
        keys: (B,) int64, as from `degrade.rng.keyed.make_keys`. A picture depends on its key alone, and the same key at
            another size is the same picture.
        size: side N of the square frames, at least 32.

    Returns:
        (image, nerves), on the keys' device (drawn on the CPU): (B, 1, N, N) float32 in [0, 1] and in {0, 1}.

    Raises:
        ValueError: `size` is below 32, or the keys are not a row.

    >>> image, nerves = cornea(keyed.make_keys(0, 2), 64)
    >>> image.shape, nerves.shape
    (torch.Size([2, 1, 64, 64]), torch.Size([2, 1, 64, 64]))
    """
    return plane.each(_cornea, keys, size)


def _cornea(key: Tensor, size: int) -> tuple[Tensor, Tensor]:
    p = plane.parameters(key, "phantom.cornea", _DRAWS)
    numbers = keyed.uniforms(key, {"phantom.cornea.fibres": 1 << 14})["phantom.cornea.fibres"][0].tolist()
    uniform: Callable[[], float] = itertools.cycle(numbers).__next__

    def between(low: float, high: float) -> float:
        return low + (high - low) * uniform()

    depth, _, mask = vessels.draw(_fibres(p, between), size)
    cells, _, _ = vessels.draw(_dots(p, between), size)
    x, y = plane.axes(size)
    beads = 1 + p["beads"] * (
        plane.noise(key, "phantom.cornea.beads", 0.012, size) + plane.noise(key, "phantom.cornea.grains", 0.006, size)
    )
    focus = (0.85 + 0.28 * plane.noise(key, "phantom.cornea.focus", 0.2, size)).clamp(0.35, 1.3)
    light = plane.blur(depth[_BRIGHT], 0.0011 * size) + 0.55 * plane.blur(depth[_FAINT], 0.0011 * size)
    halo = plane.blur(depth[_BRIGHT], 0.006 * size)
    nerves = (light * beads.clamp(min=0.15) + 0.18 * halo) * focus * p["bright"] * 1.3
    dots = plane.blur(cells[_BRIGHT], 0.0014 * size) * 0.75

    square = (x - p["x"]) ** 2 + (y - p["y"]) ** 2
    slow = torch.exp(plane.texture(key, "phantom.cornea.slow", _SLOW, size) - 2 * p["fall"] * square)
    fine = torch.exp(p["grain"] * plane.texture(key, "phantom.cornea.fine", _FINE, size))
    image = slow * fine * (p["base"] + nerves * (0.75 + 0.25 / fine) + dots)
    return image.clamp(0, 1), mask


def _fibres(p: dict[str, float], between: Callable[[float, float], float]) -> list[vessels.Segment]:
    """Long fibres side by side across the frame, and the thinner branches that they give off."""
    segments: list[vessels.Segment] = []
    cos, sin = math.cos(p["direction"]), math.sin(p["direction"])
    offset = -0.75 + between(0, p["spacing"])
    while offset < 0.75:
        start = (0.5 - 0.85 * cos - offset * sin, 0.5 - 0.85 * sin + offset * cos)
        thick = between(0, 1) < 0.55
        radius = p["width"] * (between(0.0030, 0.0048) if thick else between(0.0016, 0.0026))
        path = _path(start, p["direction"] + between(-0.12, 0.12), 1.75, 5 * p["wave"], between)
        segments += _tube(path, radius, radius * between(0.7, 1.1), _BRIGHT if thick else _FAINT)
        gone = between(0.05, 0.3)
        while gone < 1.6:
            x, y = path[int(gone / _STEP)]
            side = 1 if between(-1, 1) > 0 else -1
            fine = between(0, 1) < 0.6
            turn = side * (between(0.4, 1.1) if fine else between(0.25, 0.5))
            length = between(0.08, 0.3) if fine else between(0.3, 0.9)
            branch = _path((x, y), p["direction"] + turn, length, (13 if fine else 7) * p["wave"], between)
            width = min(radius, p["width"] * (between(0.0012, 0.0018) if fine else between(0.0018, 0.0028)))
            segments += _tube(branch, width, 0.6 * width, _FAINT if fine or not thick else _BRIGHT)
            gone += between(0.15, 0.5) / p["branches"]
        offset += p["spacing"] * between(0.35, 1.6)
    return segments


def _path(
    start: vessels.Point, direction: float, length: float, wave: float, between: Callable[[float, float], float]
) -> list[vessels.Point]:
    """A winding line of that length that keeps to its direction on the whole."""
    (x, y), heading, bend = start, direction, 0.0
    path = [start]
    for _ in range(round(length / _STEP)):
        bend = 0.8 * bend + wave * between(-1, 1)
        heading += (bend + 9 * (direction - heading)) * _STEP * 1.6
        x, y = x + _STEP * math.cos(heading), y + _STEP * math.sin(heading)
        path.append((x, y))
    return path


def _tube(path: list[vessels.Point], first: float, last: float, kind: int) -> list[vessels.Segment]:
    """The path's segments within the frame, from one radius to another."""
    radii = [first + (last - first) * index / len(path) for index in range(len(path))]
    ends = zip(itertools.pairwise(path), itertools.pairwise(radii), strict=True)
    return [
        (x0, y0, r0, x1, y1, r1, kind)
        for ((x0, y0), (x1, y1)), (r0, r1) in ends
        if -0.02 < x0 < 1.02 and -0.02 < y0 < 1.02
    ]


def _dots(p: dict[str, float], between: Callable[[float, float], float]) -> list[vessels.Segment]:
    """Dendritic cells: short bright bodies, some with a process."""
    segments: list[vessels.Segment] = []
    for _ in range(int(p["dots"])):
        start, angle = (between(0.03, 0.97), between(0.03, 0.97)), between(-math.pi, math.pi)
        for turn, length in ((0.0, between(0.012, 0.03)), (between(1.5, 3), between(0.006, 0.016))):
            path = _path(start, angle + turn, length, 20, between)
            segments += _tube(path, between(0.003, 0.0042), 0.0016, _BRIGHT)
    return segments
