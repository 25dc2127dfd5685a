"""Hugging Face `datasets`: as sources of streams, and `degrade` inside their own functions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import degrade
from degrade.stream import PairStream, SourceError

datasets = pytest.importorskip("datasets", reason="needs datasets: pip install datasets")

EYES = degrade.images.image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, 5), 64)[0])
NAMES = [f"eye{number}" for number in range(5)]


@pytest.fixture(scope="module")
def photographs() -> Any:
    """Five pictures, their names, and a number that is no image."""
    pictures = [Image.fromarray(eye.permute(1, 2, 0).numpy()) for eye in EYES]
    columns = {"image": pictures, "name": NAMES, "grade": [0, 1, 2, 1, 0]}
    return datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())


def batches(source: Any, **options: Any) -> list[Any]:
    return list(PairStream(source, "cofe-net", batch_size=2, seed=3, **options))


@pytest.mark.parametrize("format", [None, "torch", "numpy"])
def test_a_data_set_is_a_source_like_its_images(photographs: Any, format: str | None) -> None:
    for found, expected in zip(batches(photographs.with_format(format)), batches(EYES), strict=True):
        assert found.ids == expected.ids
        assert found.maps == {}
        assert torch.equal(found.clean, expected.clean)
        assert torch.equal(found.degraded, expected.degraded)


def test_workers_make_the_same(photographs: Any) -> None:
    for found, expected in zip(batches(photographs, workers=1), batches(photographs), strict=True):
        assert torch.equal(found.degraded, expected.degraded)


def test_columns_that_are_images_are_maps(photographs: Any) -> None:
    whole = Image.fromarray(np.full((64, 64), 255, np.uint8))
    with_masks = datasets.Dataset.from_dict({"image": [row["image"] for row in photographs], "mask": [whole] * 5})
    assert bool((batches(with_masks)[0].mask == 1).all())


def test_degraded_when_a_row_is_read_or_streamed(photographs: Any) -> None:
    def add_degraded(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        named = zip(rows["image"], rows["name"], strict=True)
        return {**rows, "degraded": [degrade.degrade(image, "cofe-net", seed=0, id=name) for image, name in named]}

    pairs = photographs.with_transform(add_degraded)
    streamed = list(photographs.to_iterable_dataset().map(add_degraded, batched=True, batch_size=2))
    recipe = degrade.recipe("cofe-net")
    for number, name in enumerate(NAMES):
        expected = recipe(EYES[number : number + 1] / 255, [name])[0].mul(255).permute(1, 2, 0).numpy()
        for row in (pairs[number], streamed[number]):
            assert np.abs(np.asarray(row["degraded"], np.float32) - expected).max() <= 0.51


@pytest.mark.parametrize("kind", ["streaming", "splits", "other column"])
def test_what_is_no_source_is_refused(photographs: Any, kind: str) -> None:
    source, words = {
        "streaming": (photographs.to_iterable_dataset(), "map-style data set; got IterableDataset"),
        "splits": (datasets.DatasetDict({"train": photographs}), "select a split"),
        "other column": (photographs.rename_column("image", "photo"), "must have 'image'; it has photo"),
    }[kind]
    with pytest.raises(SourceError, match=words):
        batches(source)
