"""Bring the frames of a pair together: a shift and a scale, by the correlation of locally normalised grey values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from degrade.ops import color

_SIDE = 256
_SCALES = tuple(1 + 0.01 * step for step in range(-6, 7))
_FINE = tuple(0.002 * step for step in range(-5, 6))
_WINDOW = 17  # pixels of 256: means and spreads are of such squares
_MARGIN = 25  # pixels of 256 at the edge of the field that are not compared
_LEAST_SHIFT = 0.25  # pixels of 256
_LEAST_SCALE = 0.0015
_LEAST_GAIN = 0.01
_HARDLY = 0.1
_REFINED, _REFINEMENTS = 512, 4


@dataclass(frozen=True)
class Alignment:
    """How a degraded frame lies on its clean one.

    Args:
        x, y: how far its content is to the right and downwards, as a fraction of the shorter side.
        scale: how much larger its content is.
        correlation: of locally normalised grey values afterwards, from -1 to 1.
        moved: whether the frame was moved; one that lies within a quarter of 1/256 is left as it is.
    """

    x: float
    y: float
    scale: float
    correlation: float
    moved: bool

    @property
    def hardly(self) -> bool:
        """Whether the frames have too little in common to tell."""
        return self.correlation < _HARDLY


def align(clean: Tensor, degraded: Tensor, mask: Tensor) -> tuple[Tensor, Alignment]:
    """Lay the degraded frame on the clean one, if it does not lie there.

    Shifts come from the cross-correlation (FFT) at each of 13 scales from 0.94 to 1.06, then at finer ones around the
    best. Moving a frame interpolates it (bicubic), which blurs it a little.

    Args:
        clean, degraded: (1, C, H, W), alike.
        mask: (1, 1, H, W), the field of view of the clean one.

    Returns:
        the degraded frame, and how it lay.
    """
    first, inside = _normalised(clean, mask)
    stay = _correlate(first, degraded, 1.0, inside, shifts=False)
    if float(inside.sum()) < 32 * 32:
        return degraded, Alignment(0.0, 0.0, 1.0, stay[0], False)
    coarse = max((*_correlate(first, degraded, scale, inside), scale) for scale in _SCALES)
    near = [coarse[3] + step for step in _FINE]
    best = max((*_correlate(first, degraded, scale, inside), scale) for scale in near)
    correlation, x, y, scale = best
    side = min(first.shape[-2:])
    far = max(abs(x), abs(y)) > _LEAST_SHIFT / _SIDE * side or abs(scale - 1) > _LEAST_SCALE
    if not far or correlation < max(stay[0] + _LEAST_GAIN, _HARDLY):
        return degraded, Alignment(0.0, 0.0, 1.0, max(stay[0], 0.0), False)
    moved = move(degraded, x / side, y / side, scale)
    return moved.clamp(0, 1), Alignment(x / side, y / side, scale, correlation, True)


def move(image: Tensor, x: float, y: float, scale: float) -> Tensor:
    """Undo a shift by (x, y) of the shorter side and a magnification by `scale`."""
    height, width = image.shape[-2:]
    side = min(height, width)
    matrix = torch.tensor([[[scale, 0.0, 2 * x * side / width], [0.0, scale, 2 * y * side / height]]])
    grid = functional.affine_grid(matrix, [1, 1, height, width], align_corners=False)
    return functional.grid_sample(image, grid, mode="bicubic", padding_mode="zeros", align_corners=False)


def overlap(mask: Tensor, field: Tensor, lay: Alignment) -> Tensor:
    """(1, 1, H, W), 1 where both images show something: in one's field of view, and in the other's as it was moved."""
    if not lay.moved:
        return mask
    return mask * (move(field, lay.x, lay.y, lay.scale) > 0.99).to(mask)


def refine(fitted: Tensor, degraded: Tensor, mask: Tensor, lay: Alignment) -> tuple[Tensor, Alignment]:
    """Say more exactly how a moved frame lay, now that it is known what it should look like.

    Gauss-Newton steps on shift and scale, at 512 pixels at most.

    Args:
        fitted: (1, C, H, W) what the clean image looks like degraded.
        degraded: (1, C, H, W) as it was before it was moved.
        mask: (1, 1, H, W) where both show something.
        lay: how it lay.

    Returns:
        the frame moved anew, and how it lay.
    """
    side = min(fitted.shape[-2:])
    size = [round(edge * min(_REFINED / side, 1.0)) for edge in fitted.shape[-2:]]
    aim, frame, inside = (functional.interpolate(x, size, mode="area") for x in (fitted, degraded, mask))
    inside = (inside > 0.99).to(aim)
    steps = torch.tensor([0.3 / min(size), 0.3 / min(size), 0.6 / min(size)], dtype=torch.float64)
    now = torch.tensor([lay.x, lay.y, lay.scale], dtype=torch.float64)
    for _ in range(_REFINEMENTS):
        left = _left(aim, frame, inside, now)
        slopes = torch.stack([_left(aim, frame, inside, now + step) - left for step in torch.diag(steps)])
        now = now - steps * torch.linalg.lstsq(slopes.T, left[:, None]).solution[:, 0]
    before = _left(aim, frame, inside, torch.tensor([lay.x, lay.y, lay.scale], dtype=torch.float64))
    if float(_left(aim, frame, inside, now).square().sum()) < float(before.square().sum()):
        x, y, scale = now.tolist()
        lay = Alignment(x, y, scale, lay.correlation, True)
    return move(degraded, lay.x, lay.y, lay.scale).clamp(0, 1), lay


def _left(aim: Tensor, frame: Tensor, inside: Tensor, at: Tensor) -> Tensor:
    x, y, scale = at.tolist()
    return ((move(frame, x, y, scale) - aim) * inside).flatten().double()


def _correlate(
    first: Tensor, degraded: Tensor, scale: float, inside: Tensor, shifts: bool = True
) -> tuple[float, float, float]:
    """The largest correlation over shifts, and the shift in pixels of `first`; or that of no shift."""
    second, _ = _normalised(move(degraded, 0.0, 0.0, scale) if scale != 1 else degraded, None)
    height, width = first.shape[-2:]
    second = second * inside
    size = (2 * height, 2 * width)
    product = torch.fft.rfft2(second, size) * torch.fft.rfft2(first * inside, size).conj()
    table = torch.fft.irfft2(product, size)[0, 0] / (first.norm() * second.norm()).clamp_min(1e-9)
    if not shifts:
        return float(table[0, 0]), 0.0, 0.0
    most = min(height, width) // 8
    near = torch.roll(table, (most, most), (0, 1))[: 2 * most + 1, : 2 * most + 1]
    row, column = divmod(int(near.argmax()), near.shape[1])
    x, y = (_peak(line, at) - most for line, at in ((near[row], column), (near[:, column], row)))
    return float(near[row, column]), x * scale, y * scale


def _peak(line: Tensor, at: int) -> float:
    """Where a parabola through the largest number and its neighbours has its top."""
    if not 0 < at < len(line) - 1:
        return float(at)
    before, top, after = line[at - 1 : at + 2].tolist()
    bend = before - 2 * top + after
    return at + (0.5 * (before - after) / bend if bend < 0 else 0.0)


def _normalised(image: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor]:
    """Grey values less their local mean, over their local spread, at 256 pixels; and where they are compared."""
    scale = _SIDE / min(image.shape[-2:])
    size = [round(edge * scale) for edge in image.shape[-2:]]
    grey = functional.interpolate(color.luma(image), size, mode="bilinear", antialias=True)
    mean, square = (functional.avg_pool2d(x, _WINDOW, 1, _WINDOW // 2) for x in (grey, grey.square()))
    values = (grey - mean) / (square - mean.square()).clamp_min(0).sqrt().clamp_min(2 / 255)
    values = values.clamp(-2, 2)
    if mask is None:
        return values, torch.ones_like(values)
    inside = (functional.interpolate(mask, size, mode="area") > 0.5).to(values)
    inside = 1 - functional.max_pool2d(1 - functional.pad(inside, (_MARGIN,) * 4), 2 * _MARGIN + 1, 1, _MARGIN)
    inside = inside[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
    return values * inside, inside
