"""Procedural frontal chest radiographs, with the mask of the lungs.

What the rays pass through is added up as attenuation (soft tissue, lungs as its lack, heart, spine, ribs) and turned
to grey by one curve. Lengths are fractions of the frame's side; u is the distance from the midline, to either side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from degrade.isolation import isolated
from degrade.phantom import plane, vessels
from degrade.phantom.film import film as on_film
from degrade.rng import keyed

_DRAWS = {
    "middle": (0.47, 0.53),  # of the body, left to right
    "lean": (-0.03, 0.03),
    "top": (0.09, 0.15),  # of the lungs
    "width": (0.32, 0.37),  # of the rib cage, from the midline
    "floor": (0.70, 0.84),  # the right diaphragm
    "lower": (0.0, 0.035),  # the left diaphragm below it
    "heart": (0.85, 1.15),
    "knob": (0.6, 1.1),
    "neck": (0.10, 0.135),
    "shoulder": (0.10, 0.17),
    "arm": (0.46, 0.56),  # from the midline
    "waist": (0.43, 0.50),
    "ribs": (0.8, 1.25),  # their brightness
    "pitch": (0.080, 0.094),  # from rib to rib
    "phase": (0.0, 1.0),
    "bubble": (-0.4, 0.9),  # air in the stomach; below zero none
    "vessels": (0.8, 1.4),
    "lung": (0.62, 0.78),  # attenuation that air takes away
    "gain": (0.82, 1.02),
}
"""What is drawn for a chest, each uniform in its range."""

_OCTAVES = {0.25: 0.030, 0.11: 0.022, 0.05: 0.016, 0.022: 0.012, 0.010: 0.009, 0.005: 0.006}


@torch.no_grad()
@isolated
def chest(keys: Tensor, size: int, film: bool = False) -> tuple[Tensor, Tensor]:
    """Frontal chest radiographs with the mask of the lungs.

    Args:
        keys: (B,) int64, as from `degrade.rng.keyed.make_keys`. A picture depends on its key alone, and the same key at
            another size is the same picture.
        size: side N of the square frames, at least 32.
        film: draw the chest as films of many kinds show it: more texture and sharper outlines, wires, letters,
            collimation, and varied exposure, contrast and sharpness. For training networks that are to work on real
            radiographs; the mask is the same. A key without it is the picture it always was.

    Returns:
        (image, lungs), on the keys' device (drawn on the CPU): (B, 1, N, N) float32 in [0, 1] and in {0, 1}. The
        lungs are what is seen of them beside heart and mediastinum and above the diaphragm.

    Raises:
        ValueError: `size` is below 32, or the keys are not a row.

    >>> image, lungs = chest(keyed.make_keys(0, 2), 64)
    >>> image.shape, lungs.shape
    (torch.Size([2, 1, 64, 64]), torch.Size([2, 1, 64, 64]))
    """
    return plane.each(partial(_chest, film=film), keys, size)


def _chest(key: Tensor, size: int, film: bool) -> tuple[Tensor, Tensor]:
    p = plane.parameters(key, "phantom.chest", _DRAWS)
    x, y = plane.axes(size)
    y = y + 0.006 * plane.noise(key, "phantom.chest.warp_y", 0.2, size)
    side = x - p["middle"] - p["lean"] * (y - 0.5) + 0.006 * plane.noise(key, "phantom.chest.warp_x", 0.2, size)
    u = side.abs()

    cage = _cage(p, u, y)
    floor = p["floor"] + p["lower"] * torch.sigmoid(side / 0.02)
    dome = floor + 1.9 * (u - 0.15).clamp(min=0) ** 2 + 1.2 * (0.15 - u).clamp(min=0) ** 2
    air = torch.minimum(cage, (dome - y) / (1 + 0.9 * (u - 0.15)).clamp(min=0.8))
    center = _mediastinum(p, side, y)
    lungs = ((torch.minimum(air, -center) > 0) & (u > 0.03)).float()

    body = _soft((_body(p, u, y)), 0.05)
    total = body * (0.92 + 0.16 * torch.exp(-((u / 0.25) ** 2)))
    aerated = _soft(air, 0.035) * (0.82 + 0.18 * _soft(air, 0.12))
    total = total - p["lung"] * aerated
    total = total + aerated * 0.62 * _soft(center, 0.03) * (1 - 0.10 * torch.exp(-(((u - 0.13) / 0.06) ** 2)))
    total = total + 0.26 * torch.sigmoid((0.046 - u) / 0.006) * body * (1 + 0.05 * torch.cos(2 * math.pi * y / 0.047))
    windpipe = torch.sigmoid((0.021 - (side + 0.004).abs()) / 0.004) * torch.sigmoid((0.36 - y) / 0.02)
    total = total - 0.14 * windpipe * torch.sigmoid((y - 0.05) / 0.02)
    total = total + 0.45 * torch.sigmoid((y - dome) / 0.012) * torch.sigmoid((p["width"] + 0.07 - u) / 0.035) * body
    bubble = 1 - (((side - 0.17) / 0.06) ** 2 + ((y - floor - 0.075) / 0.032) ** 2).sqrt()
    total = total - 0.3 * max(p["bubble"], 0.0) * torch.sigmoid(bubble / 0.12)

    total = total + p["ribs"] * _ribs(key, p, u, y, cage, size) + _limbs(p, u, y) * body
    numbers = keyed.uniforms(key, {"phantom.chest.vessels": 1 << 14})["phantom.chest.vessels"][0].tolist()
    depth, _, _ = vessels.draw(_tree(p, itertools.cycle(numbers).__next__), size)
    tree = plane.blur(depth[vessels.ARTERY], 0.0016 * size) + 0.6 * plane.blur(depth[vessels.ARTERY], 0.006 * size)
    hila = torch.exp(-(((u - 0.085) / 0.035) ** 2) - ((y - 0.47) / 0.07) ** 2)
    total = total + aerated * (0.095 * p["vessels"] * tree + 0.13 * hila) * (1 - 0.6 * _soft(center, 0.03))
    total = total + plane.texture(key, "phantom.chest.texture", _OCTAVES, size) * (0.35 * body + 0.65 * aerated)

    if film:
        return on_film(key, total, body, aerated, size), lungs
    image = 0.035 + 0.93 * (1 - torch.exp(-1.55 * p["gain"] * total.clamp(min=0) ** 1.35))
    return plane.blur(image, 0.0012 * size).clamp(0, 1), lungs


def _soft(distance: Tensor, scale: float) -> Tensor:
    """0 outside, towards 1 with the distance inside: the thickness of something round."""
    return 1 - torch.exp(-((distance.clamp(min=0) / scale) ** 1.3))


def _cage(p: dict[str, float], u: Tensor, y: Tensor) -> Tensor:
    """(N, N) distance to the wall of the rib cage, positive inside: one superellipse for each lung, flat below."""
    wide = p["width"] - 0.10
    across = torch.where(u > 0.10, (u - 0.10) / wide, (0.10 - u) / 0.085)
    height = 0.66 - p["top"]
    up = ((0.66 - y) / height).clamp(min=0)
    value = across**2.2 + up**2.6
    slope = ((2.2 * across**1.2 / torch.where(u > 0.10, wide, 0.085)) ** 2 + (2.6 * up**1.6 / height) ** 2).sqrt()
    inner = ((1 - value) / slope.clamp(min=2.0)).clamp(-0.3, 0.2)
    # below the apex the mediastinum, not the pleura, is the inner border
    below = torch.sigmoid((y - p["top"] - 0.12) / 0.025)
    return torch.where(u < 0.10, inner + below * (u + 0.03 - inner).clamp(min=0), inner)


def _mediastinum(p: dict[str, float], side: Tensor, y: Tensor) -> Tensor:
    """(N, N) distance to the border of heart and great vessels, positive inside."""
    column = 0.074 + 0.012 * torch.exp(-(((y - 0.2) / 0.12) ** 2)) - side.abs()
    knob = 0.048 - ((side - 0.040 * p["knob"]) ** 2 + ((y - 0.35) / 1.2) ** 2).sqrt()
    trunk = 0.062 - ((side - 0.030) ** 2 + ((y - 0.44) / 1.3) ** 2).sqrt()
    size = p["heart"]
    cos, sin = math.cos(0.75), math.sin(0.75)
    dx, dy = side - 0.045, y - (p["floor"] - 0.105)
    along, across = (dx * cos + dy * sin) / (0.165 * size), (dy * cos - dx * sin) / (0.128 * size)
    heart = (1 - (along**2 + across**2).sqrt()) * 0.13
    parts = torch.stack([part.expand_as(heart) for part in (column, knob, trunk, heart)])
    return torch.logsumexp(parts * 90, 0) / 90


def _body(p: dict[str, float], u: Tensor, y: Tensor) -> Tensor:
    """(N, N) distance to the skin, positive inside: neck and trunk, and the arms beside it."""
    shoulder = -0.10 + (p["shoulder"] + 0.12) * (1 - torch.exp(-(u - p["neck"]).clamp(min=0) / 0.10))
    trunk = torch.minimum(p["waist"] - u - 0.03 * torch.cos(5 * y), (y - shoulder) * 0.8)
    return torch.logsumexp(torch.stack([trunk, _arm(p, u, y, 0.085)]) * 35, 0) / 35


def _arm(p: dict[str, float], u: Tensor, y: Tensor, radius: float) -> Tensor:
    """(N, N) distance to the upper arm, hanging from the shoulder."""
    start, dx, dy = (p["arm"] - 0.08, p["shoulder"] + 0.10), 0.11, 0.9
    along = (((u - start[0]) * dx + (y - start[1]) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
    return radius - ((u - start[0] - along * dx) ** 2 + (y - start[1] - along * dy) ** 2).sqrt()


def _ribs(key: Tensor, p: dict[str, float], u: Tensor, y: Tensor, cage: Tensor, size: int) -> Tensor:
    """(N, N) bands that slope from the spine outwards (behind) and back inwards (in front), and the cage's wall."""
    up = ((0.66 - y) / (0.66 - p["top"])).clamp(0, 1)
    share = u / (0.10 + (p["width"] - 0.10) * (1 - up**2.6).clamp(min=0.02) ** (1 / 2.2))
    inside = torch.sigmoid((cage + 0.004) / 0.004)
    wobble = 0.05 * plane.noise(key, "phantom.chest.ribs", 0.2, size)
    behind = -0.025 * torch.sin(math.pi * share.clamp(0, 1)) + 0.07 * share**2 + 0.06 * share.clamp(max=1.2) ** 7
    front = 0.12 + 0.30 * (1 - share.clamp(max=1)) ** 0.8
    back = _bands((y - behind) / p["pitch"] + p["phase"] + wobble, 0.22)
    fore = _bands((y - front) / (1.15 * p["pitch"]) + p["phase"] + wobble, 0.26)
    reach = torch.sigmoid((share - 0.45) / 0.06) * torch.sigmoid((0.68 - y) / 0.05)
    wall = torch.exp(-((cage / 0.007) ** 2)) * torch.sigmoid((y - p["top"] - 0.05) / 0.03)
    visible = inside * torch.sigmoid((u - 0.03) / 0.01) * torch.sigmoid((p["floor"] + 0.06 - y) / 0.04)
    return visible * (0.135 * back * (0.75 + 0.5 * share.clamp(max=1) ** 3) + 0.055 * fore * reach) + 0.05 * wall


def _bands(phase: Tensor, half: float) -> Tensor:
    """(N, N) in [0, 1]: bands about each whole number, a little brighter along their edges."""
    distance = (phase - phase.round()).abs()
    edge = torch.exp(-(((distance - half + 0.05) / 0.05) ** 2))
    return torch.sigmoid((half - distance) / 0.025) * (0.75 + 0.25 * edge)


def _limbs(p: dict[str, float], u: Tensor, y: Tensor) -> Tensor:
    """(N, N) collar bones, the edge of the shoulder blades and the bones of the upper arms."""
    rise = 0.20 - 0.085 * torch.sin(((u - 0.03) / 0.34).clamp(0, 1) * math.pi / 2) + 0.012 * torch.sin(u * 22)
    half = 0.012 + 0.008 * ((u - 0.16).abs() / 0.16).clamp(max=1) ** 2
    ends = torch.sigmoid((u - 0.032) / 0.005) * torch.sigmoid((p["arm"] - 0.09 - u) / 0.008)
    offset = (y - rise - p["top"] + 0.09).abs() / half
    collar = torch.sigmoid((1 - offset) / 0.12) * (0.7 + 0.3 * offset.clamp(max=1) ** 3) * ends
    bone = torch.sigmoid(_arm(p, u, y, 0.026) / 0.003) * (1 - 0.4 * torch.sigmoid(_arm(p, u, y, 0.012) / 0.004))
    border = u - (p["width"] + 0.005 + 0.10 * (0.42 - y))
    blade = torch.exp(-((border / 0.006) ** 2)) + 0.35 * torch.sigmoid(border / 0.006)
    blade = blade * torch.sigmoid((0.44 - y) / 0.02) * torch.sigmoid((y - 0.20) / 0.02)
    return 0.19 * collar + 0.20 * bone + 0.05 * blade


def _tree(p: dict[str, float], uniform: Callable[[], float]) -> list[vessels.Segment]:
    """The vessels of both lungs: from the hila outwards, forking as they thin."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * uniform()

    segments: list[vessels.Segment] = []
    step = 0.008
    tips = [
        (sign * 0.07, between(0.42, 0.52), angle + between(-0.2, 0.2), between(0.0045, 0.0075), sign)
        for sign in (-1, 1)
        for angle in (-1.3, -0.8, -0.3, 0.15, 0.5, 0.8, 1.1, 1.35)
    ]
    while tips and len(segments) < 4000:
        u, y, heading, radius, sign = tips.pop(0)
        for _ in range(int(between(4, 11))):
            heading += between(-0.14, 0.14)
            v, z = u + sign * step * math.cos(heading), y + step * math.sin(heading)
            middle = p["middle"] + p["lean"] * (y - 0.5)
            segments.append((middle + u, y, radius, middle + v, z, 0.985 * radius, vessels.ARTERY))
            u, y, radius = v, z, 0.985 * radius
        if radius > 0.0011 and abs(u) < p["width"] and p["top"] < y < 0.9:
            fork = between(0.2, 0.5)
            tips.append((u, y, heading + fork * 0.6, radius * between(0.70, 0.86), sign))
            tips.append((u, y, heading - fork, radius * between(0.55, 0.80), sign))
    return segments
