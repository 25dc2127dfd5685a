"""The field of view of a fundus photograph: the disk, or what a frame has left of one, on its dark surround."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from degrade.backend import Operation, run
from degrade.fov.box import boxes
from degrade.fov.constants import AROUND, BAR, BRIGHT, CELLS, CLOSER, DARK, LEVELS, MARGIN, SHRUNK, SPECK

OPERATION = Operation("field of view", cpu="degrade.fov.cpu:estimate", detached=True)


@torch.no_grad()
def estimate(image: Tensor) -> Tensor:
    """The mask of the field of view: everything but the dark surround that touches the frame.

    The field is taken to be convex but for its dark places: vessels, lesions, a dark macula and dark sides stay
    inside. Burned-in text in the surround stays outside. An image without a dark surround, and an all-black one, is
    field of view as a whole.

    Args:
        image: (B, C, H, W) in [0, 1], C 1 or 3, H and W at least 32; any device, any floating dtype.

    Returns:
        (B, 1, H, W) of the image's dtype and device: 1 inside, 0 outside. It carries no gradient.

    Raises:
        ValueError: the image is not of such a shape.
        TypeError: the image is not floating-point.

    >>> y, x = torch.meshgrid(torch.arange(64), torch.arange(96), indexing="ij")
    >>> disk = ((y - 32) ** 2 + (x - 48) ** 2 < 30**2).float()
    >>> mask = estimate(0.02 + 0.5 * disk.expand(2, 3, 64, 96))
    >>> mask.shape, bool((mask[1, 0] - disk).abs().mean() < 0.01)
    (torch.Size([2, 1, 64, 96]), True)
    """
    if image.ndim != 4 or image.shape[1] not in (1, 3) or min(image.shape[-2:]) < 32:
        raise ValueError(f"image must be (B, C, H, W) with C 1 or 3 and H, W at least 32; got {tuple(image.shape)}")
    if not image.is_floating_point():
        raise TypeError(f"image must be floating-point in [0, 1]; got {image.dtype}")
    mask: Tensor = run(OPERATION, _estimate, (image,), image.device)
    return mask


def _estimate(image: Tensor) -> Tensor:
    factor = -(-max(image.shape[-2:]) // SHRUNK)
    level = _shrink(image, factor)
    smooth = _smoothed(image.float().amax(1, keepdim=True))
    mask = torch.zeros_like(smooth)
    rough, _ = _look(_halved(level))
    for index, box in enumerate((2 * boxes(rough)).tolist()):
        _closer(image[index], level[index], smooth[index, 0], factor, box, mask[index, 0])
    return mask.to(image.dtype)


def _closer(image: Tensor, level: Tensor, smooth: Tensor, factor: int, box: list[int], mask: Tensor) -> None:
    """Look again, at what lies around a box in blocks of `factor` pixels, and write the mask (H, W) of one image.

    So it does not matter how much dark surround the file has. Each pixel near the edge is decided for itself.
    """
    (top, left, rows, columns), (height, width) = box, mask.shape
    margin = 1 + -(-max(rows, columns) // MARGIN)
    top, left, rows, columns = top - margin, left - margin, rows + 2 * margin, columns + 2 * margin
    pixels = (factor * left, factor * (left + columns), factor * top, factor * (top + rows))
    finer = -(-factor * max(rows, columns) // CLOSER)
    if 3 * finer <= 2 * factor:
        level, factor = _shrink(_part(image, pixels)[None], finer)[0], finer
    else:
        level = _part(level, (left, left + columns, top, top + rows))
    inside, surround = _look(level[None])
    planes = (inside, *_edge(level[None], surround, inside))
    field, near, limit = (_enlarged(plane, factor, pixels) for plane in planes)
    across, down = slice(max(pixels[0], 0), min(pixels[1], width)), slice(max(pixels[2], 0), min(pixels[3], height))
    place = (
        slice(down.start - pixels[2], down.stop - pixels[2]),
        slice(across.start - pixels[0], across.stop - pixels[0]),
    )
    bright = (smooth[down, across] > limit[place]).float()
    mask[down, across] = torch.where(near[place] > 0.5, bright, field[place])


def _smoothed(plane: Tensor) -> Tensor:
    """Each pixel and its eight neighbors by the weights 1, 2, 1 along both sides; black beyond them."""
    for dim in (-1, -2):
        size, pad = plane.shape[dim], (1, 1) if dim == -1 else (0, 0, 1, 1)
        wide = F.pad(plane, pad)
        plane = (wide.narrow(dim, 0, size) + wide.narrow(dim, 2, size) + 2 * plane) / 4
    return plane


def _part(image: Tensor, sides: tuple[int, int, int, int]) -> Tensor:
    """An image (C, H, W) from left to right and from top to bottom, zero beyond its own sides."""
    left, right, top, bottom = sides
    return F.pad(image, (-left, right - image.shape[-1], -top, bottom - image.shape[-2]))


def _enlarged(blocks: Tensor, factor: int, sides: tuple[int, int, int, int]) -> Tensor:
    """(1, 1, h, w) -> (bottom - top, right - left): each block as `factor` pixels."""
    left, right, top, bottom = sides
    pixels = blocks[0, 0].repeat_interleave(factor, 0).repeat_interleave(factor, 1)
    return pixels[: bottom - top, : right - left]


def _look(level: Tensor) -> tuple[Tensor, Tensor]:
    """The field that blocks (B, 1, h, w) tell, 0 or 1, and the surround's level (B, 1, 1, 1), -1 without one."""
    frame = _frame(level)
    surround, threshold = _threshold(level, frame)
    field = _field(torch.maximum((level <= threshold).float(), 1 - frame))
    return field, torch.where(threshold < 0, -1.0, surround)


def _halved(level: Tensor) -> Tensor:
    """The mean level of two by two blocks, rounded down; at odd sides the last blocks count twice."""
    height, width = level.shape[-2:]
    level = F.pad(level, (0, width % 2, 0, height % 2), mode="replicate")
    return F.avg_pool2d(level, 2).mul(LEVELS).floor().div(LEVELS)


def _shrink(image: Tensor, factor: int) -> Tensor:
    """(B, 1, ceil(H / factor), ceil(W / factor)) float32: the brightest channel of blocks of `factor` pixels.

    The mean over a block comes before the maximum over channels, so that noise in the surround goes first. Levels
    are multiples of 2**-12: sums of a row of them are exact in float32, whatever the device's order of adding.
    """
    image = image.float()
    if factor > 1:
        image = _block_means(_block_means(image, 2, factor), 3, factor)
    return image.amax(1, keepdim=True).clamp(0.0, 1.0).mul(LEVELS).round().div(LEVELS)


def _block_means(x: Tensor, dim: int, factor: int) -> Tensor:
    """Means of x over blocks of `factor` along one dimension; the last block may be a shorter one."""
    size = x.shape[dim]
    whole = size - size % factor
    blocks = x.narrow(dim, 0, whole)
    blocks = blocks.reshape(*x.shape[:dim], whole // factor, factor, *x.shape[dim + 1 :]).sum(dim + 1) / factor
    if whole == size:
        return blocks
    return torch.cat([blocks, x.narrow(dim, whole, size - whole).mean(dim, keepdim=True)], dim)


def _frame(level: Tensor) -> Tensor:
    """The frame without black bars along its sides, which letterboxing adds: (B, 1, h, w) of 0 and 1.

    Where there is a bar, the block beside it may be one in part: it goes too.
    """
    lit = level > BAR
    within = torch.ones_like(level)
    for dim in (-1, -2):
        line = lit.any(dim=-3 - dim, keepdim=True).float()
        span = line.cummax(dim).values * line.flip(dim).cummax(dim).values.flip(dim)
        pad = (1, 1, 0, 0) if dim == -1 else (0, 0, 1, 1)
        within = within * -F.max_pool2d(F.pad(-span, pad, value=-1.0), (1, 3) if dim == -1 else (3, 1), 1)
    return torch.where(within.amax((-2, -1), keepdim=True) > 0, within, 1.0)


def _threshold(level: Tensor, frame: Tensor) -> tuple[Tensor, Tensor]:
    """The level of the surround and the level above which a block is not surround: (B, 1, 1, 1) each.

    Everything is relative to the content's own brightness, so a photograph and a darker copy of it give the same
    mask. Where the frame's darkest border is no surround, the threshold is -1: nothing is.
    """
    inner = -F.max_pool2d(F.pad(-frame, (1, 1, 1, 1)), 3, 1)
    ring = (frame - inner).flatten(2)
    values = level.flatten(2)
    content = _quantile(F.adaptive_max_pool2d(level, CELLS).flatten(2), BRIGHT)
    count = ring.sum(-1, keepdim=True)
    ascending = torch.where(ring > 0, values, torch.inf).sort(-1).values
    darkest = ascending.gather(-1, (0.02 * count).long())
    near = (values <= darkest + 0.12 * (content - darkest)).float() * ring
    mean = (values * near).sum(-1, keepdim=True) / near.sum(-1, keepdim=True)
    contrast = content - mean
    noise = mean - darkest  # two standard deviations; the ring's upper side may hold dark field
    threshold = mean + torch.minimum(torch.maximum(0.03 * contrast, 2 * noise), 0.15 * contrast)
    surrounded = (mean < DARK) & (mean < 0.3 * content)
    return mean[..., None], torch.where(surrounded, threshold, -1.0)[..., None]


def _quantile(x: Tensor, fraction: float) -> Tensor:
    """The value below which that fraction of the last dimension lies, without interpolation; it keeps its place."""
    index = int(fraction * x.shape[-1])
    return x.sort(-1).values[..., index : index + 1]


def _box(x: Tensor, radius: int) -> Tensor:
    """Sums of x over (2 radius + 1)-sided squares; beyond the frame is nothing."""
    x = x.float()
    for dim in (-1, -2):
        size = x.shape[dim]
        pad = (radius + 1, radius) if dim == -1 else (0, 0, radius + 1, radius)
        total = F.pad(x, pad).cumsum(dim)
        x = total.narrow(dim, 2 * radius + 1, size) - total.narrow(dim, 0, size)
    return x


def _seen(dark: Tensor) -> Tensor:
    """What an eye at the frame's border sees along rows and columns: dark, and nothing bright before it."""
    seen = torch.zeros_like(dark)
    for dim in (-1, -2):
        seen = torch.maximum(seen, dark.cumprod(dim))
        seen = torch.maximum(seen, dark.flip(dim).cumprod(dim).flip(dim))
    return seen


def _wide(seen: Tensor) -> Tensor:
    """What was seen, without the slits narrower than five blocks that dark vessels at the field's edge leave.

    Beyond the frame everything counts as seen: the wedge between a disk and the frame that it touches is no slit.
    """
    height, width = seen.shape[-2:]
    seen = F.pad(seen, (5, 5, 5, 5), value=1.0)
    seen = (_box(_box(seen, 2) > 24.5, 2) > 0.5).float()
    return seen[..., 5 : 5 + height, 5 : 5 + width]


def _field(dark: Tensor) -> Tensor:
    """The field of view in blocks, 0 or 1, its holes filled and the specks around it gone."""
    inside = 1 - _wide(_seen(dark))
    radius = max(1, round(SPECK * min(dark.shape[-2:]) / 2))
    solid = _box(inside, radius) > (2 * radius + 1) ** 2 - 0.5
    core = _box(solid, radius) > 0.5
    field = (_box(core, 3) > 0.5).float() * inside
    empty = field.amax((-2, -1), keepdim=True) < 0.5
    return torch.where(empty, 1.0, field)


def _edge(level: Tensor, surround: Tensor, field: Tensor) -> tuple[Tensor, Tensor]:
    """The blocks that the edge may cross, 0 or 1, and halfway between the levels outside and inside of it there.

    What has no surround (-1) ends where its file or a black bar begins, be it ever so dark there: a quarter of the way.
    """
    inner, outer = _box(1 - field, 1) < 0.5, _box(field, 1) < 0.5
    inside, outside = _box(inner, AROUND), _box(outer, AROUND)
    content = _box(level * inner, AROUND) / inside.clamp(min=1.0)
    beyond = torch.where(outside > 0.5, _box(level * outer, AROUND) / outside.clamp(min=1.0), surround.clamp(min=0.0))
    edge = (inside > 0.5) & ~inner & ~outer
    return edge.float(), beyond + torch.where(surround < 0, 0.25, 0.5) * (content - beyond)
