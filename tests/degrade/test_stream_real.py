"""Streams on real photographs: every kind that the project is for."""

from __future__ import annotations

import pytest
import torch

import degrade
from degrade.stream import MixedStream, PairStream, UnpairedStream, open_source


def check(images, mask):
    assert bool(torch.isfinite(images).all())
    assert 0 <= float(images.min()) <= float(images.max()) <= 1
    assert bool(((mask == 0) | (mask == 1)).all())


@pytest.mark.slow
def test_all_fundus_photographs_in_pairs(data):
    stream = PairStream(data / "fundus" / "good", "cofe-net", batch_size=16, size=128, workers=1)
    seen = 0
    for batch in stream:
        check(batch.degraded, batch.mask)
        assert float((batch.degraded * (1 - batch.mask)).abs().max()) == 0
        coverage = batch.mask.mean((1, 2, 3))
        assert 0.3 < float(coverage.min()) <= float(coverage.max()) <= 1
        seen += len(batch)
    assert seen == 151
    assert stream.failed == {}


def test_fundus_photographs_with_their_masks_and_vessels_in_sequences(data):
    vessels, fov = open_source(data / "fundus" / "vessels"), open_source(data / "fundus" / "fov")
    ids = set(vessels.ids) & set(fov.ids)
    source = open_source(open_source(data / "fundus" / "good").subset(ids), maps={"vessels": vessels, "mask": fov})
    stream = PairStream(source, "pce-net", batch_size=8, views=4, size=(143, 173), crop=128, hflip=True, vflip=True)
    seen = 0
    for batch in stream:
        assert batch.degraded.shape == (len(batch), 4, 3, 128, 128)
        check(batch.degraded, batch.mask)
        inside = batch.maps["vessels"] * batch.mask
        assert float(inside.sum()) > 0.99 * float(batch.maps["vessels"].sum())
        # vessels are darker than what is around them, in green: image and map have stayed together
        green = batch.clean[:, 1:2]
        around = torch.nn.functional.avg_pool2d(green, 9, 1, 4)
        assert float(((around - green) * inside).sum() / inside.sum()) > 0.01
        seen += len(batch)
    assert seen == len(ids) > 50


@pytest.mark.slow
def test_cataract_against_good_unpaired_and_mixed(data):
    poor = open_source(data / "fundus" / "poor").subset(lambda id_: id_.startswith("csdi"))
    good = data / "fundus" / "good"
    stream = UnpairedStream(poor, good, batch_size=16, size=96, crop=64, field_of_view=degrade.fov.estimate, workers=1)
    highs, lows = [], []
    for batch in stream:
        check(batch.low.image, batch.low.mask)
        check(batch.high.image, batch.high.mask)
        lows += batch.low.ids
        highs += batch.high.ids
    assert sorted(highs) == sorted(open_source(good).ids)
    assert set(lows) == set(poor.ids)
    mixed = next(iter(MixedStream(good, "cataract", poor, batch_size=16, unlabelled_size=8, size=64)))
    assert (len(mixed.labelled), len(mixed.unlabelled)) == (16, 8)


@pytest.mark.slow
def test_xray_patches(data):
    stream = PairStream(data / "xray", "x-bdcnn", batch_size=32, crop=128, patches=4, hflip=True, workers=1)
    seen, noise = 0, []
    for batch in stream:
        assert batch.clean.shape[1:] == (1, 128, 128)
        check(batch.degraded, batch.mask)
        noise.append((batch.degraded - batch.clean).std())
        seen += len(batch)
    assert seen == 4 * 136
    assert 0.02 < float(torch.stack(noise).mean()) < 0.15


def test_corneas_unpaired(data):
    stream = UnpairedStream(data / "cornea" / "low", data / "cornea" / "high", batch_size=4, size=96, hflip=True)
    batches = list(stream)
    assert len(batches) == 13  # 49 of low quality, 45 of high
    for batch in batches:
        assert batch.low.image.shape[1:] == (1, 96, 96)
        check(batch.low.image, batch.low.mask)
    low, high = (torch.cat([getattr(batch, name).image for batch in batches]) for name in ("low", "high"))
    assert float(low.std((1, 2, 3)).mean()) < float(high.std((1, 2, 3)).mean())  # duller
