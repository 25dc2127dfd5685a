"""The small parts of several images' degradations, made together: halo and hole on coarse grids, spots in windows.

What the CPU's fast paths share. These parts cost calls, not arithmetic; what touches every pixel is done elsewhere.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import torch
from torch import Tensor

from degrade.base import Parameters
from degrade.models.fundus import reference as stages
from degrade.ops.blur import reach_of
from degrade.ops.fields import ring_nodes

SMOOTH = 36
"""Pixels of kernel for each pixel between a grid's nodes: keeps the interpolation under half a grey level."""


@dataclass
class Field:
    """A blurred disk or ring of one image, on a grid of every `step`-th pixel."""

    nodes: Tensor
    step: int


@dataclass
class Patches:
    """The spots of one image, each in its window (P, P), and the rows and columns of the windows' corners."""

    patches: Tensor
    tops: list[int]
    lefts: list[int]

    def add_to(self, image: Tensor) -> None:
        """Adds them to an image (..., H, W), in place."""
        height, width = image.shape[-2:]
        for patch, top, left in zip(self.patches, self.tops, self.lefts, strict=True):
            part = patch[max(-top, 0) : max(height - top, 0), max(-left, 0) : max(width - left, 0)]
            rows, columns = part.shape
            image[..., max(top, 0) : max(top, 0) + rows, max(left, 0) : max(left, 0) + columns] += part


def grid_step(kernel: float) -> int:
    """How far apart in pixels the nodes of a field may be whose blur is at least this many pixels wide."""
    grid = int(kernel / SMOOTH)
    return 1 if grid < 2 else 1 << (grid.bit_length() - 1)


def fields(
    p: Parameters, rows: list[int], size: tuple[int, int], exact: bool
) -> tuple[dict[int, Field], dict[int, Field]]:
    """The blurred rings of the halos and disks of the holes of these rows, each on as coarse a grid as it allows.

    Halos and holes are made together: first those of all rows' halos, then those of their holes, `len(rows)` each.
    """
    if not rows:
        return {}, {}
    side = min(size)
    kernel = torch.cat([p["halo_kernel"][rows][:, None].expand(-1, 2), p["hole_kernel"][rows]])
    center, sigma = (torch.cat([p[f"halo_{name}"][rows], p[f"hole_{name}"][rows]]) for name in ("center", "sigma"))
    radii = p["halo_inner"][rows], p["halo_outer"][rows]
    inner, outer = torch.minimum(*radii), torch.cat([torch.maximum(*radii), p["hole_radius"][rows]])
    # fields that are made together share a grid and a reach; both hang on each one's own kernel alone
    alike = defaultdict(list)
    classes = max(side // 16, 1)
    for member, (narrow, wide) in enumerate(torch.stack([kernel.amin(dim=1), kernel.amax(dim=1)], dim=1).tolist()):
        step = 1 if exact else grid_step(narrow * side)
        alike[step, (reach_of(wide, side) // classes + 1) * classes].append(member)
    made: dict[int, Field] = {}
    for (step, reach), members in alike.items():
        rings = [member for member in members if member < len(rows)]
        some = (center[members], inner[rings], outer[members], kernel[members], sigma[members])
        nodes = ring_nodes(*some, size, step, reach)
        made |= {member: Field(nodes[i], step) for i, member in enumerate(members)}
    halos, holes = ({row: made[first + i] for i, row in enumerate(rows)} for first in (0, len(rows)))
    return halos, holes


def patches(p: Parameters, rows: list[int], size: tuple[int, int]) -> dict[int, Patches]:
    """The spots of these rows."""
    if not rows or not p["spot_radius"].shape[1]:
        return {}
    some = {name: value[rows] for name, value in p.items() if name.startswith("spot_")}
    reach = stages.spot_reach(stages.largest(some["spot_radius"]), stages.largest(some["spot_kernel"]), min(size))
    windows, tops, lefts = stages.spot_patches(some, size, reach)
    made = {}
    for i, row in enumerate(rows):
        present = some["spot_height"][i].nonzero().flatten()
        made[row] = Patches(windows[i][present], tops[i][present].tolist(), lefts[i][present].tolist())
    return made
