"""Windows cut out of frozen copies of whole frames, other ones in each step."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from degrade.rng import keyed
from degrade.stream import Batch


def cut_windows(batch: Batch, size: int | tuple[int, int] | None, crop: int | None, number: int) -> Batch:
    """Resize, crop and flip a batch of whole frames: the same for an image, its views and its mask.

    Args:
        batch: whole frames, (B, C, H, W); `degraded` may have views, (B, K, C, H, W). Its maps are left out.
        size: side that each frame is resized to, or a pair to draw it from; None keeps it.
        crop: side of the window; None keeps the frame. With None every frame gets the larger side of `size`.
        number: of the step: the same keys give other windows in another step.
    """
    keys = batch.keys if batch.keys.ndim == 1 else batch.keys[:, 0]
    salted = keyed.fold_in(keys.cpu(), f"windows {number}")
    rows = keyed.uniforms(salted, {"side": 1, "corner": 2, "flip": 2})
    views = batch.degraded if batch.degraded.ndim == 5 else batch.degraded[:, None]
    frames = torch.cat(
        [batch.clean[:, None], views, batch.mask[:, None].expand(-1, -1, batch.clean.shape[1], -1, -1)], 1
    )
    low, high = (size, size) if isinstance(size, int) or size is None else size
    placed = []
    for frame, (side,), corner, flip in zip(frames, *(row.tolist() for row in rows.values()), strict=True):
        if low is not None and high is not None:
            drawn = high if crop is None else low + int(side * (high - low + 1))
            frame = _resized(frame, drawn)
        placed.append(_flipped(_window(frame, crop, corner), flip))
    found = torch.stack(placed)
    degraded = found[:, 1:-1] if batch.degraded.ndim == 5 else found[:, 1]
    mask = (found[:, -1, :1] > 0.5).to(found.dtype)
    return replace(batch, clean=found[:, 0], degraded=degraded, mask=mask, maps={})


def _resized(frame: Tensor, side: int) -> Tensor:
    if frame.shape[-2:] == (side, side):
        return frame
    return F.interpolate(frame, (side, side), mode="bilinear", antialias=True).clamp(0, 1)


def _window(frame: Tensor, crop: int | None, corner: list[float]) -> Tensor:
    if crop is None:
        return frame
    height, width = frame.shape[-2:]
    if min(height, width) < crop:
        raise ValueError(f"crop = {crop}: a frame has {height} x {width} pixels")
    top, left = int(corner[0] * (height - crop + 1)), int(corner[1] * (width - crop + 1))
    return frame[..., top : top + crop, left : left + crop]


def _flipped(frame: Tensor, flip: list[float]) -> Tensor:
    axes = [-2] * (flip[0] < 0.5) + [-1] * (flip[1] < 0.5)
    return frame.flip(axes) if axes else frame
