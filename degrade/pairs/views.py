"""The degraded views of integer images, one at a time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from degrade.backends import serving
from degrade.base import Degradation
from degrade.images import image_io
from degrade.records import Record, to_record

_DRAWN_AT_ONCE = 64


@dataclass(frozen=True)
class View:
    """A degraded image, uint8 or uint16 (C, H, W); mask, uint8 (1, H, W); record of parameters; seconds it took.

    `backend` is what computed it.
    """

    degraded: Tensor
    mask: Tensor
    record: Record
    seconds: float = 0.0
    backend: str = ""


def degrade_one(
    recipe: Degradation, image: Tensor, keys: list[int], field_of_view: Tensor | None = None
) -> Iterator[View]:
    """Degrade an integer image (C, H, W) on the CPU once per key; each view is made when it is asked for.

    `field_of_view`, float (1, H, W), is used where it is given, else the recipe's.
    """
    start = time.perf_counter()
    bits, size = 16 if image.dtype == torch.uint16 else 8, image.shape[-2:]
    clean = image_io.to_float(image)[None]
    del image  # of a large photograph this is memory that the degradation needs
    mask = recipe.field_of_view(clean) if field_of_view is None else field_of_view[None]
    shown = image_io.to_integer(mask[0])
    for first in range(0, len(keys), _DRAWN_AT_ONCE):
        parameters = recipe.draw(torch.tensor(keys[first : first + _DRAWN_AT_ONCE]), *size)
        for row in range(len(keys[first : first + _DRAWN_AT_ONCE])):
            one = {name: value[row : row + 1] for name, value in parameters.items()}
            degraded = image_io.to_integer(recipe.apply(clean, one, mask)[0], bits)
            record = to_record(recipe.parameter_table, parameters, row)
            yield View(degraded, shown, record, time.perf_counter() - start, serving(recipe, clean))
            start = time.perf_counter()


def degrade_batch(
    recipe: Degradation, images: Tensor, keys: Tensor, device: torch.device, fields_of_view: Tensor | None = None
) -> list[Iterator[View]]:
    """Degrade integer images (B, C, H, W) with keys (B, K) on a GPU; the K views of each image.

    `fields_of_view`, float (B, 1, H, W), are used where they are given, else the recipe's.
    """
    batch, views = keys.shape
    image = image_io.to_float(images.to(device))
    mask = recipe.field_of_view(image) if fields_of_view is None else fields_of_view.to(device)
    parameters = recipe.draw(keys.flatten(), *image.shape[-2:])
    of = torch.arange(batch).repeat_interleave(views)
    bits = 16 if images.dtype == torch.uint16 else 8
    made = []
    for start in range(0, len(of), batch):  # as many at once as there are images: the memory of a batch
        rows = slice(start, start + batch)
        some = {name: value[rows] for name, value in parameters.items()}
        made.append(image_io.to_integer(recipe.apply(image[of[rows]], some, mask[of[rows]]), bits).cpu())
    backend = serving(recipe, image)
    degraded, shown = torch.cat(made), image_io.to_integer(mask).cpu()
    records = [to_record(recipe.parameter_table, parameters, index) for index in range(len(of))]
    return [
        iter([View(degraded[i * views + k], shown[i], records[i * views + k], backend=backend) for k in range(views)])
        for i in range(batch)
    ]
