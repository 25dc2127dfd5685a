"""Degrade within frames: crop and pad each image to its frame, blacken what is outside the mask, and put it back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from degrade.call import Call
from degrade.fov.frame import of_mask
from degrade.packing import Packed


def in_frames(degrade: Callable[[Call], Tensor], call: Call) -> Tensor:
    """What a function that knows nothing of frames makes of a call that has them.

    Images with frames of one size are degraded together. Frames that are on a GPU, as those of its masks are, are read,
    which waits for it; frames that are given on the CPU cost no waiting.

    Args:
        degrade: from a call whose images are their frames to images of the same shape.
        call: with `frame` (B, 4) or "fov"; with None it is passed on as it is.
    """
    if call.frame is None:
        return degrade(call)
    assert call.mask is not None
    groups = defaultdict(list)
    frames = of_mask(call.mask) if isinstance(call.frame, str) else call.frame
    places = frames.tolist()
    for index, (_, _, width, height) in enumerate(places):
        groups[height, width].append(index)
    size = (call.image.shape[-2], call.image.shape[-1])
    degraded: list[Tensor] = [call.image] * len(places)
    for indices in groups.values():
        mask = _stacked([_cut(call.mask[i], places[i]) for i in indices])
        image = _blackened(_stacked([_cut(call.image[i], places[i]) for i in indices]), mask)
        result = degrade(_some(call, indices, image, mask))
        del image, mask  # of a large photograph this is memory that the result needs
        for index, part in zip(indices, result, strict=True):
            degraded[index] = _put_back(part, places[index], size)
    return _stacked(degraded) if degraded else call.image


def _stacked(tensors: list[Tensor]) -> Tensor:
    """As torch.stack; of one tensor without a copy."""
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)


def _blackened(image: Tensor, mask: Tensor) -> Tensor:
    """An image that is nobody else's, with black where the mask is not above 0.5."""
    outside = ~(mask > 0.5)
    if image.requires_grad:
        return image.masked_fill(outside, 0.0)
    return image.masked_fill_(outside, 0.0)


def _some(call: Call, indices: list[int], image: Tensor, mask: Tensor) -> Call:
    """The call for some of its samples."""
    packed, parameters = call.packed, call.parameters
    if len(indices) < len(call.image):
        some = torch.tensor(indices).to(call.image.device, non_blocking=True)
        if packed is not None:
            packed = Packed(packed.table, packed.rows[some.to(packed.rows.device)].contiguous(), packed.count)
        parameters = {name: value[some.to(value.device)] for name, value in parameters.items()}
    return replace(call, image=image, mask=mask, parameters=parameters, packed=packed, frame=None)


def _cut(image: Tensor, place: tuple[int, int, int, int]) -> Tensor:
    """The frame's part of an image (C, H, W), black beyond it: (C, height, width)."""
    left, top, width, height = place
    return functional.pad(image, (-left, left + width - image.shape[-1], -top, top + height - image.shape[-2]))


def _put_back(part: Tensor, place: tuple[int, int, int, int], size: tuple[int, int]) -> Tensor:
    """The inverse of `_cut`: an image (C, *size), black outside the frame."""
    left, top, width, height = place
    return functional.pad(part, (left, size[1] - left - width, top, size[0] - top - height))
