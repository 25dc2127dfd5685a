"""Retinal vessel trees, grown in plain Python, and their drawing by distance to line segments.

Lengths are fractions of the frame's side, x grows to the temporal side, y downwards: the eye's optic disc is on the
left. Trees are grown to look right, not the way they grow: trunks along the arcades first, then side branches that
steer towards the macula or away from it and end where they would run into a vessel of their own kind.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

ARTERY, VEIN = 0, 1

Point = tuple[float, float]
Segment = tuple[float, float, float, float, float, float, int]
"""x0, y0, radius0, x1, y1, radius1, kind."""

_STEP = 0.004  # length of a segment
_THINNEST = 0.0009  # radius at which a twig ends
_AVASCULAR = 0.04  # radius of the zone around the fovea that no vessel enters
_CELL = 0.012  # side of the cells in which a vessel keeps others of its kind away
_MOST = 12_000  # segments of one eye
_LARGE = 0.0024  # radius from which a vessel is in the mask however few the pixels


@dataclass(frozen=True)
class Anatomy:
    """Where the vessels come from and what they go around.

    Attributes:
        disc: center (x, y) of the optic disc.
        disc_radius: its radius.
        macula: center (x, y) of the macula, to the right of the disc.
        reach: distance from the frame's center beyond which nothing needs to grow.
        tortuosity: how much vessels wind; 1 is usual.
    """

    disc: Point
    disc_radius: float
    macula: Point
    reach: float
    tortuosity: float = 1.0


@dataclass(frozen=True)
class _Tip:
    """A growing end: where it is and heads (radians, clockwise from temporal), its radius, how far it may go.

    A tip with a route follows it; one without steers to the macula or away from it. `parent` is the branch it left.
    """

    x: float
    y: float
    heading: float
    radius: float
    length: float
    kind: int
    to_macula: bool = False
    route: tuple[Point, ...] = ()
    parent: int = 0


def grow(eye: Anatomy, uniform: Callable[[], float]) -> list[Segment]:
    """The vessels of one eye, trunks first.

    Args:
        eye: the landmarks.
        uniform: gives the next random number in [0, 1); called as often as the trees take.

    Returns:
        line segments (x0, y0, radius0, x1, y1, radius1, kind).

    >>> from random import Random
    >>> eye = Anatomy(disc=(0.22, 0.48), disc_radius=0.065, macula=(0.53, 0.5), reach=0.5)
    >>> segments = grow(eye, Random(0).random)
    >>> len(segments) > 1000, {segment[-1] for segment in segments}
    (True, {0, 1})
    """

    def between(low: float, high: float) -> float:
        return low + (high - low) * uniform()

    tips = deque(_trunks(eye, between))
    taken: dict[tuple[int, int, int], int] = {}
    segments: list[Segment] = []
    branch = 0
    while tips and len(segments) < _MOST:
        branch += 1
        tips.extend(_extend(tips.popleft(), branch, eye, between, taken, segments))
    return segments


def _trunks(eye: Anatomy, between: Callable[[float, float], float]) -> list[_Tip]:
    """Above and below: an arcade and two nasal branches of each kind, and twigs from the disc to the macula."""
    (ox, oy), (mx, my) = eye.disc, eye.macula
    span = mx - ox
    ox -= 0.12 * eye.disc_radius  # vessels come out nasally of the disc's middle
    arcades, others = [], []
    for side in (-1.0, 1.0):
        height, end = between(0.19, 0.26), between(0.06, 0.2)
        for kind in (VEIN, ARTERY):
            vein = kind == VEIN
            h = height + between(0.004, 0.028) * (1 if vein else -1)
            route = (
                (ox + between(-0.015, 0.03), oy + side * 0.1),
                (ox + span * between(0.22, 0.36), oy + side * h * between(0.66, 0.82)),
                (ox + span * between(0.6, 0.8), my + side * h * between(0.95, 1.04)),
                (mx + span * between(0.15, 0.35), my + side * h * between(0.92, 1.08)),
                (mx + span * between(0.75, 0.95), my + side * (0.5 * end + h * between(0.3, 0.6))),
                (mx + span * 1.8, my + side * end),
            )
            radius = between(0.0058, 0.0072) if vein else between(0.0044, 0.0054)
            lift = oy - side * between(0.0, 0.2) * eye.disc_radius  # upper and lower ones overlap
            shift = ox + between(-0.22, 0.22) * eye.disc_radius
            up = side * math.pi / 2
            arcades.append(_Tip(shift, lift, up + between(-0.3, 0.3), radius, 1.3, kind, route=route))
            for fan in (between(1.7, 2.05), between(2.35, 2.8)):
                radius = between(0.0032, 0.0046) if vein else between(0.0026, 0.0036)
                angle = side * (fan + (0.16 if vein else -0.16))
                others.append(_Tip(shift, lift, angle, radius, between(0.35, 0.6), kind))
            angle = side * between(0.15, 0.75)
            radius = between(0.0016, 0.0024)
            others.append(_Tip(shift, lift, angle, radius, between(0.2, 0.36), kind, to_macula=True))
    return arcades + others


def _extend(
    tip: _Tip,
    branch: int,
    eye: Anatomy,
    between: Callable[[float, float], float],
    taken: dict[tuple[int, int, int], int],
    segments: list[Segment],
) -> list[_Tip]:
    """Grows one tip to its end, adding to `segments` and `taken`; the side branches that it gave off."""
    x, y, heading, radius, length = tip.x, tip.y, tip.heading, tip.radius, tip.length
    (ox, oy), (mx, my) = eye.disc, eye.macula
    route = list(tip.route)
    branches: list[_Tip] = []
    own: list[Segment] = []
    bend, gone, side = 0.0, 0.0, 1.0 if between(-1, 1) > 0 else -1.0
    next_branch = between(0.06, 0.1) if route or not tip.parent else between(0.03, 0.07)
    while gone < length and radius > _THINNEST:
        tx, ty, gain = _target(tip, route, x, y, eye)
        turn = (math.cos(heading) * ty - math.sin(heading) * tx) / (math.hypot(tx, ty) + 1e-9)
        # a bend is forgotten over some seven segments: vessels wind at a length of about 0.06
        bend = 0.86 * bend + eye.tortuosity * between(-9.0, 9.0) * (0.45 if route else 1.0)
        heading += (gain * turn + bend) * _STEP
        nx, ny = x + _STEP * math.cos(heading), y + _STEP * math.sin(heading)
        from_disc = math.hypot(nx - ox, ny - oy)
        if math.hypot(nx - 0.5, ny - 0.5) > eye.reach or math.hypot(nx - mx, ny - my) < _AVASCULAR:
            break
        if not route and abs(heading - tip.heading) > 2.3:
            break  # about to close a loop
        cell = (int(nx / _CELL), int(ny / _CELL), tip.kind)
        owner = taken.setdefault(cell, branch)
        young = gone < 0.03
        if owner != branch and not young and not route and from_disc > 1.4 * eye.disc_radius:
            if gone < 0.07 and radius > 0.0015:
                return []  # a thick stump is worse than nothing
            own = _tapered(own)
            break
        thinner = radius * (1 - (0.6 if route else 1.3) * _STEP)
        own.append((x, y, radius, nx, ny, thinner, tip.kind))
        x, y, radius, gone = nx, ny, thinner, gone + _STEP
        if gone > next_branch and from_disc > 1.3 * eye.disc_radius:
            side = -side if between(0, 1) < 0.75 else side
            share = between(0.42, 0.8) if route else between(0.55, 0.9)
            angle = heading + side * between(0.45, 0.9)
            inwards = math.cos(angle) * (mx - x) + math.sin(angle) * (my - y) > 0
            child = replace(
                tip,
                x=x,
                y=y,
                heading=angle,
                radius=radius * share,
                length=min(0.55, radius * share * between(90, 190)),
                to_macula=inwards and x > ox,
                route=(),
                parent=branch,
            )
            branches.append(child)
            if not route:
                heading -= side * 0.22
            radius *= (1 - 0.6 * share**3) ** (1 / 3)  # Murray's law, softened
            next_branch = gone + (between(0.035, 0.085) if route else between(0.03, 0.085))
    segments.extend(own)
    return branches


def _tapered(branch: list[Segment]) -> list[Segment]:
    """The branch, thinning to a twig over its second half."""
    count = len(branch)
    scale = [min(1.0, 2.0 * (count - index) / count) for index in range(count + 1)]
    return [
        (x0, y0, max(_THINNEST, r0 * scale[i]), x1, y1, max(_THINNEST, r1 * scale[i + 1]), kind)
        for i, (x0, y0, r0, x1, y1, r1, kind) in enumerate(branch)
    ]


def _target(tip: _Tip, route: list[Point], x: float, y: float, eye: Anatomy) -> tuple[float, float, float]:
    """The direction (x, y) that a tip turns to, and how fast it turns there (radians per unit of length)."""
    if route:
        # a waypoint counts as passed once it is nearer to the next one than the waypoint is, or it would be orbited
        while len(route) > 1 and (
            math.dist(route[0], (x, y)) < 0.05 or math.dist(route[1], (x, y)) < math.dist(route[1], route[0])
        ):
            route.pop(0)
        return route[0][0] - x, route[0][1] - y, 14.0
    (ox, oy), (mx, my) = eye.disc, eye.macula
    if tip.to_macula:
        return mx - x, my - y, 4.0
    away_m, away_o = math.hypot(x - mx, y - my) + 1e-9, math.hypot(x - ox, y - oy) + 1e-9
    return (x - mx) / away_m + 1.5 * (x - ox) / away_o, (y - my) / away_m + 1.5 * (y - oy) / away_o, 3.0


def draw(segments: list[Segment], size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Vessels on a size x size frame: (depth, reflex, mask).

    Returns:
        depth: (2, N, N) float32 in [0, 1], of arteries and of veins: how much blood light passes through.
        reflex: (N, N) float32 in [0, 1]: the streak of light along the middle of the larger vessels.
        mask: (N, N) float32 in {0, 1}; a vessel is at least one pixel wide, or not in the
            mask, where it is a twig thinner than 0.6 pixels and hardly to be seen.

    >>> depth, reflex, mask = draw([(0.2, 0.5, 0.05, 0.8, 0.5, 0.05, VEIN)], 40)
    >>> round(float(mask.mean()), 2), float(depth[ARTERY].max()), bool(depth[VEIN, 20, 20] > 0.9)
    (0.07, 0.0, True)
    """
    planes = torch.zeros(4, size * size)
    if segments:
        table = torch.tensor([segment[:6] for segment in segments], dtype=torch.float64)
        kinds = torch.tensor([segment[6] for segment in segments])
        # a window holds its segment, half of it to either side, and one pixel of soft edge
        half = (table[:, [2, 5]].amax(1) + 0.5 * (table[:, :2] - table[:, 3:5]).norm(dim=1)) * size + 2
        half = half.ceil().long()
        for window in half.unique().tolist():
            chosen = half == window
            _draw_windows(planes, table[chosen], kinds[chosen], window, size)
    planes = planes.view(4, size, size)
    return planes[:2], planes[2], (planes[3] > 0).float()


def _draw_windows(planes: Tensor, table: Tensor, kinds: Tensor, half: int, size: int) -> None:
    """Draws segments into `planes` (4, N * N), in place, each within a square of 2 `half` + 1 pixels."""
    x0, y0, r0, x1, y1, r1 = (table * size).float()[:, :, None, None].unbind(1)
    across, down = (x1 - x0), (y1 - y0)
    offset = torch.arange(-half, half + 1)
    column = ((x0 + x1) / 2).floor().long() + offset
    row = ((y0 + y1) / 2).floor().long() + offset[:, None]
    px, py = column + 0.5 - x0, row + 0.5 - y0
    along = ((px * across + py * down) / (across**2 + down**2)).clamp(0, 1)
    distance = ((px - along * across) ** 2 + (py - along * down) ** 2).sqrt()
    radius = r0 + along * (r1 - r0)
    cover = torch.minimum((radius - distance + 0.5).clamp(0, 1), 2 * radius)
    relative = (distance / radius).clamp(max=1)
    # there is less blood in a twig to look through
    filled = (0.38 + 0.62 * (radius / size / 0.0045)).clamp(max=1)
    depth = cover * (0.6 + 0.4 * (1 - relative**2).sqrt()) * filled
    # below 0.002 of the frame a camera does not resolve the reflex; an artery's is the brighter one
    reflex = cover * torch.exp(-((relative / 0.32) ** 2)) * ((radius / size - 0.002) / 0.002).clamp(0, 1)
    reflex = reflex * torch.where(kinds == ARTERY, 1.0, 0.4)[:, None, None]
    mask = ((distance <= radius.clamp(min=0.5)) & (radius > min(0.3, _LARGE * size))).float()
    seen = (column >= 0) & (column < size) & (row >= 0) & (row < size)
    pixel = (row * size + column)[seen]
    plane = kinds[:, None, None].expand_as(seen)[seen]
    flat = planes.view(-1)
    flat.scatter_reduce_(0, plane * size**2 + pixel, depth[seen], "amax")
    flat.scatter_reduce_(0, 2 * size**2 + pixel, reflex[seen], "amax")
    flat.scatter_reduce_(0, 3 * size**2 + pixel, mask[seen], "amax")
