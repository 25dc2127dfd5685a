"""Enhance images of any size, 8 or 16 bits, grey or color, whole or in overlapping tiles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, Protocol

import torch
from torch import Tensor

from degrade import fov
from degrade.images import image_io
from enhance.resizing import unfit

Precision = Literal["32", "bf16", "16"]

SMALLEST_TILE = 128
"""Smallest tile tried after running out of memory, pixels."""


class Enhancer(Protocol):
    """Anything with an `enhance` method: a network or a baseline."""

    def enhance(self, image: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, C, H, W) and (B, 1, H, W) in [0, 1] -> (B, C, H, W) in [0, 1]."""


def enhance_image(
    enhancer: Enhancer,
    image: Tensor,
    *,
    field_of_view: Callable[[Tensor], Tensor] | Tensor | None = None,
    size: int | None = None,
    prepare: Literal["fov"] | None = None,
    tile: int | None = None,
    overlap: int = 64,
    device: str | torch.device = "cpu",
    precision: Precision = "32",
) -> Tensor:
    """Enhance one image; size, type, channels and pixels outside the field of view stay as they are.

    Args:
        enhancer: a network on `device`, in eval mode; or a baseline.
        image: uint8, uint16, or floating point in [0, 1]: (C, H, W), C = 1 or 3. For a network of color images
            a grey image is repeated to three channels, and their mean is returned.
        field_of_view: mask (1, 1, H, W), of the image at `size` if that is given, or a function from (1, C, H, W) to
            it, such as `degrade.fov.estimate` for fundus photographs. Pixels outside are not changed. None: the whole
            image is enhanced.
        size: enhance at this size (see `degrade.images.image_io.resize`), usually that of the training, and scale the
            result back. None keeps the image's size: sharper, but only right if the network was trained on structures
            of that many pixels.
        prepare: "fov" crops the image to the square around its field of view, enhances that, at `size` if it is given,
            and puts it back into the full picture; a mask is then of the whole image. For networks trained on
            photographs that were prepared so. None enhances the image as it is.
        tile: side of the tiles, pixels; None enhances the image as a whole, or in tiles if the GPU's memory is too
            small.
        overlap: of neighboring tiles, pixels; they are blended there.
        device: of the computation; the result is on the image's device.
        precision: "bf16" and "16" run the network in mixed precision.

    Raises:
        TypeError, ValueError: an image that the enhancer does not accept, or an argument out of range.
        torch.OutOfMemoryError: not even tiles of 128 pixels fit.

    >>> from enhance.baselines import baseline
    >>> image = torch.randint(0, 65536, (1, 61, 97)).to(torch.uint16)
    >>> torch.equal(enhance_image(baseline("identity"), image, tile=48, overlap=16), image)
    True
    """
    if image.ndim != 3 or image.shape[0] not in (1, 3):
        raise ValueError(f"image must be (C, H, W) with C = 1 or 3; got shape {tuple(image.shape)}")
    given = image_io.to_float(image.to(device))[None]
    if prepare not in (None, "fov"):
        raise ValueError(f"prepare = {prepare!r}: allowed is None or 'fov'")
    work = given if size is None or prepare else image_io.resize(given[0], size)[None]
    mask = field_of_view(work) if callable(field_of_view) else field_of_view
    full, where = mask, None
    if prepare:
        full = torch.ones_like(given[:, :1]) if mask is None else mask.to(given)
        work, mask, where = fov.crop(given, full, size)
    wide = work.expand(-1, _channels(enhancer, work), -1, -1)
    with torch.no_grad(), _autocast(torch.device(device), precision):
        enhanced = enhance_batch(enhancer, wide, mask, tile=tile, overlap=overlap).float()
    if wide.shape[1] != work.shape[1]:
        enhanced = enhanced.mean(1, keepdim=True)
    if where is not None:
        enhanced, mask = fov.uncrop(enhanced, where, given), full
    elif size is not None:
        height, width = given.shape[-2:]
        enhanced = unfit(enhanced, height, width)
        mask = None if mask is None else (unfit(mask, height, width) > 0.5).to(mask.dtype)
    if mask is not None:
        enhanced = torch.where(mask > 0.5, enhanced, given)
    if image.is_floating_point():
        return enhanced[0].to(image.device, image.dtype)
    return image_io.to_integer(enhanced[0], 16 if image.dtype == torch.uint16 else 8).to(image.device)


def enhance_batch(
    enhancer: Enhancer, image: Tensor, mask: Tensor | None = None, *, tile: int | None = None, overlap: int = 64
) -> Tensor:
    """Enhance (B, C, H, W) in [0, 1], as a whole or in overlapping tiles that are blended.

    Instance norm uses the statistics of each tile, so the whole image is better where it fits into memory.

    Args:
        enhancer: on the device of the images.
        image, mask: as of `EnhancementNetwork.enhance`.
        tile: side of the tiles; None as in `enhance_image`.
        overlap: of neighboring tiles: at least 0, less than `tile`.
    """
    if tile is not None and not 0 <= overlap < tile:
        raise ValueError(f"overlap = {overlap} of tiles of {tile} pixels: from 0 to {tile - 1}")
    while True:
        try:
            if tile is None or max(image.shape[-2:]) <= tile:
                return enhancer.enhance(image, mask)
            return _tiled(enhancer, image, mask, tile, min(overlap, tile - 1))
        except torch.OutOfMemoryError:
            side = max(image.shape[-2:]) if tile is None else tile
            if side <= SMALLEST_TILE:
                raise
            tile = max(SMALLEST_TILE, -(-side // 2))


def _tiled(enhancer: Enhancer, image: Tensor, mask: Tensor | None, tile: int, overlap: int) -> Tensor:
    total = torch.zeros_like(image, dtype=torch.float32)
    weight = torch.zeros_like(total[:1, :1])
    height, width = image.shape[-2:]
    for rows in _windows(height, tile, overlap):
        for columns in _windows(width, tile, overlap):
            window = (..., rows, columns)
            part = enhancer.enhance(image[window], None if mask is None else mask[window])
            ramp = _ramp(rows, height, overlap)[:, None] * _ramp(columns, width, overlap)
            ramp = ramp.to(image.device)
            total[window] += ramp * part
            weight[window] += ramp
    return (total / weight).to(image.dtype)


def _windows(side: int, tile: int, overlap: int) -> Iterator[slice]:
    """Windows of equal length that cover a side; neighbors overlap by at least `overlap`."""
    tile = min(tile, side)
    count = 1 if tile == side else -(-(side - overlap) // (tile - overlap))
    for number in range(count):
        start = round(number * (side - tile) / max(count - 1, 1))
        yield slice(start, start + tile)


def _ramp(window: slice, side: int, overlap: int) -> Tensor:
    """Blending weights of a window: they rise from 0 to 1 over the overlap with a neighbor.

    The outer quarter of the overlap has weight 0, because the edge of the tile affects the network there. If its
    receptive field reaches no farther, tiles give the same result as the whole image.
    """
    length, margin = window.stop - window.start, overlap // 4
    rising = ((torch.arange(length) + 0.5 - margin) / max(overlap - 2 * margin, 1)).clamp(0, 1)
    ramp = torch.ones(length)
    if window.start > 0:
        ramp = torch.minimum(ramp, rising)
    if window.stop < side:
        ramp = torch.minimum(ramp, rising.flip(0))
    return ramp


def _channels(enhancer: Enhancer, image: Tensor) -> int:
    """Number of channels of the image that the enhancer gets."""
    have = image.shape[1]
    wanted: int = getattr(enhancer, "channels", have)
    if have == 3 and wanted == 1:
        raise ValueError("a color image for a network of grey ones: convert it, or use a network with channels = 3")
    return wanted


def _autocast(device: torch.device, precision: Precision) -> AbstractContextManager[object]:
    types = {"32": None, "bf16": torch.bfloat16, "16": torch.float16}
    if precision not in types:
        raise ValueError(f"precision = {precision!r}: allowed is one of {', '.join(types)}")
    dtype = types[precision]
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
