"""Pairs that exist, frozen synthetic ones and real ones: streams, trainers, `evaluate` and `segmenter`."""

from __future__ import annotations

import json
import pickle

import pytest
import torch

from degrade import fov
from degrade.images import image_io
from degrade.pairs import PairedDataset, synthesize
from degrade.stream import MixedStream, PairStream, SourceError, open_source
from enhance.holdout import hold_out
from enhance.trainers import Sources
from tests.cli.test_cli_train import SMALL, enhance, train
from tests.degrade.test_datasets import MAGE

EYES = "phantom:fundus?count=5&size=64"
PCE = [
    *("--set", "width=4", "--set", "views=2", "--set", "batch_size=1", "--set", "size=none", "--set", "crop=none"),
    *("--devices", "cpu", "--workers", "0", "--steps", "1"),
]


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    root = tmp_path_factory.mktemp("frozen") / "pairs"
    synthesize(EYES, root, "cofe-net", views=2)
    return root


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Two folders with images of the same names, one in each alone, and vessels."""
    root = tmp_path_factory.mktemp("real")
    source = open_source(EYES)
    for number, id_ in enumerate(source.ids):
        sample = source.load(number)
        if number != 4:
            image_io.write(root / "low" / f"{id_}.png", (sample["image"] // 2).to(torch.uint8))
        image_io.write(root / "high" / f"{id_}.png", sample["image"])
        image_io.write(root / "vessels" / f"{id_}.png", sample["vessels"])
    image_io.write(root / "low" / "other.png", sample["image"])
    return root


def by_id(stream):
    return {id_: batch[n] for batch in stream for n, id_ in enumerate(batch.ids)}


def test_stored_images_come_out_as_they_are(frozen):
    pairs = PairedDataset(frozen)
    made = by_id(PairStream.from_pairs(pairs, batch_size=3))
    assert sorted(made) == pairs.ids
    for number, id_ in enumerate(pairs.ids):
        one, batch = pairs[number], made[id_]
        assert torch.equal(batch.degraded[0], one.degraded)
        assert torch.equal(batch.clean[0], one.clean)
        assert torch.equal(batch.mask[0], one.mask)
        assert batch.maps == {}
        assert all(torch.equal(batch.parameters[name][0], one.parameters[name]) for name in one.parameters)


def test_geometry_and_colors_are_shared_and_keyed(frozen):
    pairs = PairedDataset(frozen)
    options = {"crop": 40, "hflip": True, "vflip": True, "seed": 4}
    one = by_id(PairStream.from_pairs(pairs, batch_size=3, patches=2, **options))
    two = by_id(PairStream.from_pairs(pairs, batch_size=1, patches=2, workers=1, **options))
    old = by_id(PairStream(pairs, "cofe-net", batch_size=4, patches=2, **options))
    assert one.keys() == two.keys() == old.keys()
    for id_ in one:
        assert torch.equal(one[id_].degraded, two[id_].degraded)
        assert torch.equal(one[id_].degraded, old[id_].maps["degraded"])
        assert torch.equal(one[id_].clean, old[id_].clean)
    varied = by_id(PairStream.from_pairs(pairs, batch_size=3, patches=2, brightness_jitter=0.5, **options))
    for id_ in one:
        inside = one[id_].mask.expand(-1, 3, -1, -1) > 0.5
        dark = inside & (one[id_].clean < 0.6) & (one[id_].degraded < 0.6) & (one[id_].clean > 0.1)
        dark &= one[id_].degraded > 0.1
        ratios = [getattr(varied[id_], name)[dark] / getattr(one[id_], name)[dark] for name in ("clean", "degraded")]
        assert torch.allclose(ratios[0], ratios[1], atol=1e-4)
        assert float(ratios[0].max() - ratios[0].min()) < 1e-3


def test_two_folders(real):
    text = f"pairs:{real / 'low'},{real / 'high'}"
    source = open_source(text)
    assert len(source) == 4
    assert source.others == 2
    made = by_id(PairStream.from_pairs((real / "low", real / "high"), batch_size=2, prepare="fov", size=48))
    assert by_id(PairStream.from_pairs(text, batch_size=2)).keys() == made.keys()
    copies = f"pairs:{EYES}&seed=1,{EYES}"  # ids made on demand go to worker processes too
    copy = pickle.loads(pickle.dumps(open_source(copies)))
    assert torch.equal(copy.load(3)["degraded"], open_source(copies).load(3)["degraded"])
    for one in made.values():
        assert one.clean.shape == (1, 3, 48, 48)
        assert ((one.clean / 2 - one.degraded).abs() < 1.01 / 255).all()
        assert one.parameters == {}
    mixed = next(iter(MixedStream(text, None, EYES, batch_size=2, unlabelled_size=1)))
    assert ((mixed.labelled.clean / 2 - mixed.labelled.degraded).abs() < 1.01 / 255).all()


def test_the_field_of_view_is_what_both_images_show(tmp_path):
    """The second photograph was taken from nearer by: less of its disc is left."""
    sample = open_source("phantom:fundus?count=1&size=128").load(0)
    seen = sample["image"].clone()
    seen[..., 80:] = 0
    for side, image in (("low", seen), ("high", sample["image"])):
        (tmp_path / side).mkdir()
        image_io.write(tmp_path / side / "a.png", image_io.to_integer(image_io.to_float(image)))
    (batch,) = PairStream.from_pairs((tmp_path / "low", tmp_path / "high"), batch_size=1, field_of_view=fov.estimate)
    whole = fov.estimate(batch.clean)
    assert torch.equal(batch.mask[..., :76], whole[..., :76])
    assert whole[..., 84:].any()
    assert not batch.mask[..., 84:].any()


def test_what_are_no_pairs(real, tmp_path):
    with pytest.raises(SourceError, match="has no degraded images: give pairs"):
        PairStream.from_pairs(EYES, batch_size=1)
    with pytest.raises(SourceError, match="pairs:LOW,HIGH"):
        open_source("pairs:only")
    with pytest.raises(SourceError, match="have no image of the same name: the first are"):
        open_source(f"pairs:{EYES},phantom:chest?count=2&size=64")
    with pytest.raises(ValueError, match="views = 2 of pairs that exist"):
        PairStream(open_source(f"pairs:{EYES},{EYES}"), None, batch_size=1, views=2)
    image_io.write(tmp_path / "low" / "fundus_0001.png", torch.zeros(3, 64, 70, dtype=torch.uint8))
    with pytest.raises(SourceError) as caught:
        PairStream.from_pairs((tmp_path / "low", real / "high"), batch_size=1)
    assert "a pair has images of one size and kind: " in str(caught.value)
    assert "low/fundus_0001.png' is 70 x 64 pixels of 3 channels, " in str(caught.value)
    assert "high/fundus_0001.png' 64 x 64 pixels of 3 channels" in str(caught.value)
    said = train("zhao", f"pairs:{real / 'low'},{real / 'high'}", "--out", tmp_path / "run", code=2)
    assert "zhao trains on unpaired images" in said
    said = train("pcenet", f"pairs:{real / 'low'},{real}/none", "--out", tmp_path / "run", code=2)
    assert "'SOURCE': " in said
    assert "does not exist" in said


def test_the_views_of_an_image_are_held_out_together(frozen):
    on, out = hold_out(Sources(PairedDataset(frozen), pairs=True), 0.4)
    assert on.pairs
    assert out.pairs
    images = [{id_.rpartition("_v")[0] for id_ in side.high.ids} for side in (on, out)]
    assert images[0].isdisjoint(images[1])
    assert len(out.high) == 4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["frozen", "real"])
def test_train_on_them(frozen, real, tmp_path, kind):
    source = frozen if kind == "frozen" else f"pairs:{real / 'low'},{real / 'high'}"
    train("pcenet", source, "--out", tmp_path / "pce", *PCE)
    train("--resume", "--out", tmp_path / "pce", "--steps", 2)
    train("magenet", source, "--vessels", real / "vessels", "--out", tmp_path / "mage", *MAGE)
    train("magenet", source, "--set", "rsp=none", "--unpaired", EYES, "--out", tmp_path / "tmage", *MAGE)
    held = json.loads((tmp_path / "pce/held_out.json").read_text())["high"]
    assert len(held) == (2 if kind == "frozen" else 1)


def test_xbdcnn_knows_the_levels_of_frozen_noise(tmp_path):
    chest = "phantom:chest?count=5&size=64"
    synthesize(chest, tmp_path / "pairs", "x-bdcnn")
    train("xbdcnn", tmp_path / "pairs", *SMALL, "--steps", 1, "--out", tmp_path / "run")
    said = train("xbdcnn", f"pairs:{chest},{chest}", *SMALL, "--steps", 1, "--out", tmp_path / "other", code=1)
    assert "set nle=false" in said
    given = ("--set", "nle=false", "--steps", 1, "--out", tmp_path / "other", "--overwrite")
    train("xbdcnn", f"pairs:{chest},{chest}", *SMALL, *given)


def test_evaluate_and_segmenter(frozen, real, tmp_path):
    out = tmp_path / "s.safetensors"
    vessels = ("--vessels", real / "vessels", "--size", 64, "--device", "cpu")
    for source, count in ((frozen, 10), (f"pairs:{real / 'low'},{real / 'high'}", 4)):
        enhance("segmenter", source, out, *vessels, "--steps", 1, "--crop", 64, "--width", 2)
        json_ = tmp_path / "table.json"
        enhance("evaluate", "identity", source, *vessels, "--segmenter", out, "--json", json_)
        found = json.loads(json_.read_text())
        assert len(found["images"]) == count
        assert {"PSNR", "SSIM", "Dice"} <= found["values"]["degraded"].keys()
        assert found["values"]["identity"]["PSNR"] == found["values"]["degraded"]["PSNR"]
    said = enhance("evaluate", "identity", frozen, "--recipe", "cofe-net", "--device", "cpu", code=2)
    assert "SOURCE has pairs" in said
