"""The Cofe-Net degradations on a GPU without gradients: `reference.chain`, fused."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from degrade.call import Call
from degrade.framing import in_frames
from degrade.models.fundus import gpu_fields as fields
from degrade.models.fundus import gpu_stages as stages
from degrade.ops.constants import REFERENCE_SIDE
from degrade.rng.gpu import check_count
from degrade.rng.streams import signed, stream_words

_BLOCK, _SPAN = 1024, 4096  # pixels that a program of a summing pass reads at once, and at least altogether
_TILE = (16, 64)


def degrade(call: Call) -> Tensor:
    """`Fundus._define`, in frames."""
    return in_frames(_degrade, call)


def _degrade(call: Call) -> Tensor:
    """Images of the given type; within a tenth of a grey level of the definition.

    float32, float16 or bfloat16 images, computed in float32. Nothing waits for the device. The bits of a sample's
    result depend on that sample alone.
    """
    image, mask, packed, most = call.image.detach(), call.mask, call.packed, call.largest()
    assert mask is not None
    assert packed is not None
    result = torch.empty(image.shape, dtype=image.dtype, device=image.device)
    if not image.numel():
        return result
    batch, channels, height, width = image.shape
    count = check_count(tuple(image.shape[1:]))
    pixels, rows, spots = height * width, packed.rows, packed.count
    image, mask = image.contiguous(), mask.detach().contiguous()
    lit = result if image.dtype == torch.float32 else torch.empty(image.shape, dtype=torch.float32, device=image.device)
    between = torch.empty_like(lit)
    span = triton.cdiv(max(triton.cdiv(pixels, stages.PARTS.value), _SPAN), _BLOCK) * _BLOCK
    parts = triton.cdiv(pixels, span)
    partial = torch.empty(batch, 4, stages.PARTS.value, dtype=torch.float32, device=image.device)
    tiles = (batch * triton.cdiv(height, _TILE[0]) * triton.cdiv(width, _TILE[1]),)
    noise = most["noise"] != 0
    with torch.cuda.device_of(image):
        made = fields.tables(rows, spots, min(height, width), most)
        stride, lengths = made.records.stride(0), made.lengths
        field = fields.fields(rows, made, spots, (height, width))
        for stage in range(3):
            stages.sums[(batch * parts,)](
                image, mask, field, rows, partial, rows.stride(0), pixels, parts, span, stage, channels, _BLOCK
            )
        places = triton.next_power_of_2(spots) if spots else 0
        stages.light[tiles](
            image, mask, field, rows, made.spots, partial, lit, result, rows.stride(0), stride, lengths[2],
            spots, height, width, parts, channels, places, *_TILE, enable_fp_fusion=False,
        )  # fmt: skip
        sizes = (rows.stride(0), stride, lengths[1], spots, height, width)
        stages.blur[tiles](lit, mask, rows, made.blur, between, *sizes, 1, False, channels, *_TILE)
        blurred = lit if noise else result
        stages.blur[tiles](between, mask, rows, made.blur, blurred, *sizes, 0, not noise, channels, *_TILE)
        if noise:
            blocks = triton.cdiv(count, 4)
            programs = triton.cdiv(blocks, _BLOCK)
            low, high = stream_words("pixel")
            stages.noise[(batch * programs,)](
                blurred, mask, rows, result, rows.stride(0), pixels, count, blocks, programs,
                min(height, width) / REFERENCE_SIDE, signed(high << 32 | low), _BLOCK,
            )  # fmt: skip
    return result
