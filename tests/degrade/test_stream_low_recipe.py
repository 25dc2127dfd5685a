"""Unpaired streams whose bad images are made on the fly, and the halves of one source."""

from __future__ import annotations

import json

import pytest
import torch

import degrade
from degrade.stream import SourceError, UnpairedStream, open_source
from degrade.stream.halves import halves
from enhance.holdout import group_of, in_halves
from enhance.trainers import Sources
from tests.cli.test_cli_train import images, train
from tests.training_samples import lines

EYES = "phantom:fundus?count=7&size=64"
ZHAO = [
    *("--set", "width=4", "--set", "blocks=1", "--set", "d_width=4", "--set", "batch_size=1", "--set", "size=none"),
    *("--set", "crop=none", "--devices", "cpu", "--workers", "0", "--steps", "1"),
]


def collect(epoch=0, **options):
    """The low images of an epoch by their keys."""
    stream = UnpairedStream(None, EYES, low_recipe="cataract", hflip=True, **options)
    stream.set_epoch(epoch)
    return {int(key): image for batch in stream for key, image in zip(batch.low.keys, batch.low.image, strict=True)}


def test_the_halves_share_no_image_and_are_keyed():
    source = open_source(EYES)
    low, high = halves(source, seed=3)
    assert sorted([*low.ids, *high.ids]) == list(source.ids)
    assert abs(len(low) - len(high)) == 1
    assert halves(source, seed=3)[0].ids == low.ids
    assert len({tuple(halves(source, seed)[0].ids) for seed in range(8)}) > 3
    with pytest.raises(SourceError, match="at least 2"):
        halves(open_source("phantom:fundus?count=1&size=64"))


def test_the_low_side_is_what_the_recipe_makes_of_its_keys():
    stream = UnpairedStream(None, EYES, batch_size=2, low_recipe="cataract", seed=5)
    stream.set_epoch(1)
    batches = list(stream)
    low_ids = {id_ for b in batches for id_ in b.low.ids}
    high_ids = {id_ for b in batches for id_ in b.high.ids}
    assert not low_ids & high_ids
    assert len(low_ids | high_ids) == 7
    source, recipe = open_source(EYES), degrade.recipe("cataract")
    batch = batches[0]
    clean = torch.stack([source.load(source.ids.index(id_))["image"] for id_ in batch.low.ids]).float() / 255
    again = recipe.apply(clean, batch.low.parameters, batch.low.mask)
    assert torch.allclose(again, batch.low.image, atol=1e-6)
    assert (again - clean).abs().mean() > 0.01
    assert batch.high.parameters == {}


def test_batches_and_workers_change_nothing():
    one, three = collect(batch_size=1), collect(batch_size=3, workers=1)
    assert one.keys() == three.keys()
    assert all(torch.allclose(one[key], three[key], atol=1e-6) for key in one)
    assert one.keys().isdisjoint(collect(epoch=1, batch_size=1))


def test_two_sources_and_no_recipe_are_as_before():
    plain = list(UnpairedStream(EYES, EYES + "&seed=1", batch_size=2))
    made = list(UnpairedStream(EYES, EYES + "&seed=1", batch_size=2, low_recipe="cornea"))
    for one, other in zip(plain, made, strict=True):
        assert one.low.ids == other.low.ids
        assert torch.equal(one.high.image, other.high.image)
        assert torch.equal(one.low.keys, other.low.keys)
        assert not torch.equal(one.low.image, other.low.image)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="low = None: give a source"):
        UnpairedStream(None, EYES, batch_size=1)
    with pytest.raises(ValueError, match="takes halves of it"):
        UnpairedStream(EYES, EYES, batch_size=1, low_recipe="cataract")


def test_patients_stay_in_one_half():
    rows = torch.zeros(4, 3, 64, 64)
    source = open_source(rows)
    source.ids = ["1_left", "1_right", "2_left", "2_right"]
    made = in_halves(Sources(source, low_recipe="cataract"))
    assert made.low is not None
    assert {group_of(id_) for id_ in made.low.ids}.isdisjoint({group_of(id_) for id_ in made.high.ids})
    assert made.low_recipe == "cataract"


def test_train_zhao_on_one_folder(tmp_path):
    good, _ = images(tmp_path, [f"{number}_{eye}" for number in range(5) for eye in ("left", "right")])
    run = tmp_path / "run"
    train("zhao", good, "--low-recipe", "cataract", "--out", run, *ZHAO)
    on, held = (json.loads((run / f"{name}.json").read_text()) for name in ("trained_on", "held_out"))
    sides = [on["high"] + held["high"], on["low"] + held["low"]]
    assert sorted(sides[0] + sides[1]) == sorted(path.stem for path in good.iterdir())
    assert {group_of(id_) for id_ in sides[0]}.isdisjoint({group_of(id_) for id_ in sides[1]})
    images(tmp_path, ["new"])  # an image that is added later is left out
    said = train("--resume", "--out", run, "--steps", 2)
    assert "1 images have been added since the run began, which goes on without: 'new'" in said
    assert lines(run)[-1]["step"] == 2
    said = train("--resume", "--out", run, "--low-recipe", "cofe-net", code=2)
    assert "the recipe of a run never changes" in said


def test_train_sspnet_by_the_text_of_a_recipe_file(tmp_path):
    mine = tmp_path / "mine.toml"
    mine.write_text(degrade.recipe("cornea").to_toml())
    tiny = ["width=4", "depths=1,1,1,1", "decoder=16,16,8,8,8", "d_width=4", "d_layers=1", "size=none", "batch_size=1"]
    given = [part for one in tiny for part in ("--set", one)]
    run = tmp_path / "run"
    source = "phantom:cornea?count=5&size=64"
    rest = ["--devices", "cpu", "--workers", "0", "--steps", "1", "--out", run]
    train("sspnet", source, "--low-recipe", mine, *given, *rest)
    mine.unlink()
    assert "low_recipe = " in (run / "run.toml").read_text()
    train("--resume", "--out", run, "--steps", 2)


def test_a_low_recipe_is_refused_where_it_has_no_use(tmp_path):
    said = train("pcenet", EYES, "--low-recipe", "cataract", "--out", tmp_path / "a", code=2)
    assert "'--low-recipe': pcenet trains on pairs" in said
    said = train("zhao", EYES, "--low-recipe", "catract", "--out", tmp_path / "a", code=2)
    assert "'--low-recipe': unknown recipe 'catract'; did you mean cataract?" in said
    said = train("zhao", EYES, "--out", tmp_path / "a", code=2)
    assert "or --low-recipe, which makes them" in said
