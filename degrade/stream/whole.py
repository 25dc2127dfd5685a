"""Degrade whole images before a window of them is cut, for recipes whose lengths refer to the whole photograph."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from degrade.parameters import Parameters
from degrade.sequence import SeqLC

VIEWS = "views of the degradation"
"""Name of the degraded images among the images of a sample."""

_MOST = 1 << 26
"""Numbers of all the views that are made together: 256 MiB."""


def refers_to_photograph(sequence: SeqLC | None) -> bool:
    """Whether a degradation's lengths refer to the field of view of the whole photograph, not to what it is given."""
    return sequence is not None and sequence.degradation.settings.get("frame") == "fov"


def degraded(sequence: SeqLC, image: Tensor, keys: Tensor, mask: Tensor) -> tuple[Tensor, Parameters]:
    """The degraded images, (B, C, H, W) for one view, else (B, K, C, H, W), and their parameters, likewise."""
    if sequence.views == 1:
        return sequence.degradation.sample(image, keys, mask)
    return sequence.sample(image, keys, mask)


def add_views(samples: list[dict[str, Tensor]], keys: Tensor, sequence: SeqLC) -> Parameters:
    """Degrade whole images, those of one size together.

    Args:
        samples: each with "image" (C, H, W) and "mask" (1, H, W); they get their views as one more image, `VIEWS`.
        keys: int64 (B,), on the CPU.
        sequence: what makes the views.

    Returns:
        the parameters, (B, ...) or (B, K, ...).
    """
    alike = defaultdict(list)
    for index, sample in enumerate(samples):
        alike[sample["image"].shape].append(index)
    rows: list[Parameters] = [{} for _ in samples]
    for shape, members in alike.items():
        count = max(_MOST // (shape.numel() * sequence.views), 1)
        for begin in range(0, len(members), count):
            some = members[begin : begin + count]
            image, mask = (torch.stack([samples[index][name] for index in some]) for name in ("image", "mask"))
            views, parameters = degraded(sequence, image, keys[some], mask)
            for place, index in enumerate(some):
                samples[index][VIEWS] = views[place]
                rows[index] = {name: value[place] for name, value in parameters.items()}
    return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
