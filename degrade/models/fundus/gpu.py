"""The Cofe-Net degradations on a GPU without gradients: `fundus.stages`, fused."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import triton
from torch import Tensor

from degrade.base import Parameters
from degrade.models.fundus import gpu_fields as fields
from degrade.models.fundus import gpu_stages as chain
from degrade.ops.blur import REFERENCE_SIDE
from degrade.rng import keyed
from degrade.rng.gpu import check_count

_BLOCK, _SPAN = 1024, 4096  # pixels that a program of a summing pass reads at once, and at least altogether
_TILE = (16, 64)


def degrade(image: Tensor, p: Parameters, mask: Tensor, most: Mapping[str, float], noise: bool = False) -> Tensor:
    """The degraded images, of the images' type; within a tenth of a grey level of the batched path.

    Nothing waits for the device. The bits of a sample's result depend on that sample alone.

    Args:
        image: (B, C, H, W) float32, float16 or bfloat16, C 1 or 3; computed in float32.
        p: the parameters, on the image's device.
        mask: (B, 1, H, W) float32.
        most: at least the largest of spot_kernel, blur_kernel, halo_kernel, hole_kernel, which the tables must hold.
        noise: whether any sample may have noise.
    """
    result = torch.empty(image.shape, dtype=image.dtype, device=image.device)
    if not image.numel():
        return result
    batch, channels, height, width = image.shape
    count = check_count(tuple(image.shape[1:]))
    pixels, spots = height * width, p["spot_radius"].shape[1]
    image, mask = image.contiguous(), mask.contiguous()
    lit = result if image.dtype == torch.float32 else torch.empty(image.shape, dtype=torch.float32, device=image.device)
    between = torch.empty_like(lit)
    span = triton.cdiv(max(triton.cdiv(pixels, chain.PARTS.value), _SPAN), _BLOCK) * _BLOCK
    parts = triton.cdiv(pixels, span)
    partial = torch.empty(batch, 4, chain.PARTS.value, dtype=torch.float32, device=image.device)
    tiles = (batch * triton.cdiv(height, _TILE[0]) * triton.cdiv(width, _TILE[1]),)
    with torch.cuda.device_of(image):
        rows = fields.pack(p)
        made = fields.tables(rows, spots, min(height, width), most)
        stride, lengths = made.records.stride(0), made.lengths
        field = fields.fields(rows, made, spots, (height, width))
        for stage in range(3):
            chain.sums[(batch * parts,)](
                image, mask, field, rows, partial, rows.stride(0), pixels, parts, span, stage, channels, _BLOCK
            )
        places = triton.next_power_of_2(spots) if spots else 0
        chain.light[tiles](
            image, mask, field, rows, made.spots, partial, lit, result, rows.stride(0), stride, lengths[2],
            spots, height, width, parts, channels, places, *_TILE, enable_fp_fusion=False,
        )  # fmt: skip
        sizes = (rows.stride(0), stride, lengths[1], height, width)
        chain.blur[tiles](lit, mask, rows, made.blur, between, *sizes, 1, False, channels, *_TILE)
        blurred = lit if noise else result
        chain.blur[tiles](between, mask, rows, made.blur, blurred, *sizes, 0, not noise, channels, *_TILE)
        if noise:
            blocks = triton.cdiv(count, 4)
            programs = triton.cdiv(blocks, _BLOCK)
            low, high = keyed.stream_words("pixel")
            chain.noise[(batch * programs,)](
                blurred, mask, rows, p["noise_key"].contiguous(), result, rows.stride(0), pixels, count, blocks,
                programs, min(height, width) / REFERENCE_SIDE, keyed.signed(high << 32 | low), _BLOCK,
            )  # fmt: skip
    return result
