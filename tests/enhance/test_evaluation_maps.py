"""Maps of zeros and ones are black and white in `enhance evaluate` too."""

from __future__ import annotations

import torch

from degrade.stream.arrays import DatasetSource
from enhance.evaluation import real_cases


def test_vessels_of_zeros_and_ones_are_white() -> None:
    image = torch.full((3, 64, 64), 99, dtype=torch.uint8)
    vessels = torch.zeros(64, 64, dtype=torch.uint8)
    vessels[20:30] = 1
    source = DatasetSource([{"image": image, "vessels": vessels, "mask": torch.ones_like(vessels)}])
    (case,) = real_cases(source, None, None, size=None)
    assert torch.equal(case.maps["vessels"], vessels[None].float())
    assert float(case.mask.min()) == 1
