"""Photographs with black borders are degraded as the same photographs cropped to their field of view are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import degrade
from degrade.images.image_io import read, resize, to_float

GOOD = Path(__file__).parents[3] / "shared" / "data" / "fundus" / "good"
COUNT, SIDE = 30, 320


def effects(recipe: degrade.Degradation, image: Tensor, mask: Tensor, keys: Tensor) -> dict[str, float]:
    """The mean effect of each stage inside the field, grey levels."""
    parameters = recipe.draw(keys, *image.shape[-2:])
    inside = (mask > 0.5).expand_as(image)
    return {
        name: float((recipe.apply(image, some, mask) - image).abs()[inside].mean()) * 255
        for name, some in recipe.stages(parameters).items()
    }


def bordered(image: Tensor, number: int) -> Tensor:
    """Black on all sides, up to the photograph's own side."""
    sides = torch.randint(0, image.shape[-1], (4,), generator=torch.Generator().manual_seed(number))
    return functional.pad(image, tuple(sides.tolist()))


@pytest.mark.slow
@pytest.mark.skipif(not GOOD.is_dir(), reason="needs the real photographs in ../shared/data")
@pytest.mark.parametrize(("frame", "agree"), [("fov", True), ("image", False)])
def test_mean_effects_are_those_of_cropped_photographs(frame: str, agree: bool) -> None:
    """To 1 % with the frame of the field of view; the planted defect is the frame of the file."""
    files = sorted(GOOD.iterdir())
    recipe = degrade.recipe("cofe-net", type="111", frame=frame)
    sums: dict[str, list[float]] = {}
    for number, file in enumerate(files[:: len(files) // COUNT][:COUNT]):
        wide = bordered(resize(to_float(read(file)), SIDE), number)[None]
        mask = degrade.fov.estimate(wide)
        square, inside, _ = degrade.fov.crop(wide, mask)
        keys = degrade.make_keys(0, [file.stem])
        for which, found in enumerate((effects(recipe, wide, mask, keys), effects(recipe, square, inside, keys))):
            for name, effect in found.items():
                sums.setdefault(name, [0.0, 0.0])[which] += effect
    assert {"halo", "hole", "spots", "blur"} <= set(sums)
    ratios = {name: a / b for name, (a, b) in sums.items() if name in ("halo", "hole", "spots", "blur")}
    assert all(abs(ratio - 1) < 0.01 for ratio in ratios.values()) == agree, ratios
