"""PairStream, UnpairedStream and MixedStream: what a batch holds, and that it follows from the key alone."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

import degrade
from cli.degrade import main
from degrade.images import image_io
from degrade.stream import MixedStream, PairStream, UnpairedStream, open_source
from tests.stream_tables import equal, rows, same_tables

SOURCE = "phantom:fundus?count=7&size=64"


def test_a_batch_holds_what_its_keys_say():
    stream = PairStream(SOURCE, "cofe-net", batch_size=3, seed=5)
    stream.set_epoch(2)
    batches = list(stream)
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert len(stream) == 3
    for batch in batches:
        assert torch.equal(batch.keys, degrade.make_keys(5, batch.ids, epoch=2))
        degraded, parameters = stream.recipe.sample(batch.clean, batch.keys, batch.mask)
        assert torch.equal(degraded, batch.degraded)
        assert all(torch.equal(value, batch.parameters[name]) for name, value in parameters.items())
        assert batch.clean.dtype == torch.float32
        assert batch.mask.shape == batch.maps["vessels"].shape == (len(batch), 1, 64, 64)


def test_views_are_seqlc():
    one = dict(rows(PairStream(SOURCE, "pce-net", batch_size=7)))
    for batch in PairStream(SOURCE, "pce-net", batch_size=4, views=3):
        assert batch.degraded.shape == (len(batch), 3, 3, 64, 64)
        assert batch.keys.shape == (len(batch), 3)
        assert torch.equal(batch.keys[:, 2], degrade.make_keys(0, batch.ids, view=2))
        for number, id_ in enumerate(batch.ids):
            assert torch.equal(batch.degraded[number, 0], one[id_]["degraded"])
            assert not torch.equal(batch.degraded[number, 0], batch.degraded[number, 1])


def test_the_pictures_are_those_of_synth(tmp_path):
    made = CliRunner().invoke(main, ["synth", SOURCE, str(tmp_path / "pairs"), "--views", "2", "--seed", "3"])
    assert made.exit_code == 0, made.output
    for id_, row in rows(PairStream(SOURCE, "cofe-net", batch_size=4, views=2, seed=3)):
        for view in (0, 1):
            file = image_io.read(tmp_path / "pairs" / "degraded" / f"{id_}_v{view}.png")
            assert torch.equal(file, image_io.to_integer(row["degraded"][view]))


def test_geometry_is_shared_and_keyed():
    stream = PairStream(SOURCE, "cofe-net", batch_size=4, size=(80, 96), crop=48, hflip=True, vflip=True)
    table = dict(rows(stream))
    alone = dict(rows(PairStream(SOURCE, "cofe-net", batch_size=1, size=(80, 96), crop=48, hflip=True, vflip=True)))
    assert same_tables(table, alone)
    sides, flips = set(), set()
    for id_, row in table.items():
        (how,) = stream._lanes[0]._geometry.draw(degrade.make_keys(0, [id_]))
        sample = stream._lanes[0].source.load(stream._lanes[0].source.ids.index(id_))
        for name, found in (("image", row["clean"]), ("vessels", row["map vessels"]), ("fov", row["map fov"])):
            whole = image_io.resize(image_io.to_float(sample[name]), how.side)
            whole = whole if name == "image" else (whole > 0.5).float()
            room = how.side - 48 + 1
            top, left = int(how.top * room), int(how.left * room)
            window = whole[:, top : top + 48, left : left + 48]
            window = window.flip(-2) if how.vertical else window
            assert torch.equal(window.flip(-1) if how.horizontal else window, found)
        assert row["degraded"].shape == (3, 48, 48)
        sides.add(how.side)
        flips.add((how.vertical, how.horizontal))
    assert len(sides) > 3
    assert len(flips) > 2


def test_an_estimated_mask_is_that_of_the_whole_image():
    images = degrade.phantom.fundus(degrade.make_keys(0, 3), 96)[0]
    whole = degrade.fov.estimate(images)
    for batch in PairStream(images, "cofe-net", batch_size=2, crop=40):
        for number, id_ in enumerate(batch.ids):
            (how,) = (
                PairStream(images, "cofe-net", batch_size=2, crop=40)
                ._lanes[0]
                ._geometry.draw(degrade.make_keys(0, [id_]))
            )
            top, left = int(how.top * 57), int(how.left * 57)
            assert torch.equal(batch.mask[number], whole[int(id_), :, top : top + 40, left : left + 40])


def test_patches_have_ids_of_their_own():
    stream = PairStream("phantom:chest?count=3&size=96", "x-bdcnn", batch_size=4, crop=32, patches=4)
    table = rows(stream)
    assert len(table) == len(dict(table)) == 12
    assert sorted(id_ for id_, _ in table) == [f"chest_{image:04d}#{patch}" for image in range(3) for patch in range(4)]
    cleans = [row["clean"] for _, row in table]
    assert len({clean.numpy().tobytes() for clean in cleans}) > 9  # several windows, not one


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::degrade.stream.RepeatedEpochWarning")
def test_epochs_differ_and_iterating_again_does_not():
    stream = PairStream(SOURCE, "cofe-net", batch_size=3)
    first, again = rows(stream), rows(stream)
    assert [id_ for id_, _ in first] == [id_ for id_, _ in again]
    assert all(equal(one, other) for (_, one), (_, other) in zip(first, again, strict=True))
    stream.set_epoch(1)
    second = rows(stream)
    assert [id_ for id_, _ in second] != [id_ for id_, _ in first]
    assert not any(equal(dict(first)[id_], row) for id_, row in second)
    stream.set_epoch(0)
    assert same_tables(dict(first), dict(rows(stream)))


def test_unpaired_images_are_shuffled_independently_and_the_shorter_source_begins_again():
    low, high = "phantom:cornea?count=4&size=64", "phantom:cornea?count=10&size=64&seed=1"
    batches = list(UnpairedStream(low, high, batch_size=3, hflip=True))
    assert [len(batch.low) for batch in batches] == [len(batch.high) for batch in batches] == [3, 3, 3, 1]
    lows = [id_ for batch in batches for id_ in batch.low.ids]
    highs = [id_ for batch in batches for id_ in batch.high.ids]
    assert len(set(highs)) == 10
    assert set(lows[:4]) == set(lows[4:8]) == {f"cornea_{number:04d}" for number in range(4)}
    assert lows[:4] != lows[4:8]
    assert lows[:4] != [id_ for id_ in highs if id_ < "cornea_0004"]
    assert batches[0].low.image.shape == (3, 1, 64, 64)
    assert bool((batches[0].low.mask == 1).all())
    assert all(
        torch.equal(one.low.image, other.low.image)
        for one, other in zip(batches, UnpairedStream(low, high, batch_size=3, hflip=True, workers=1), strict=True)
    )


def test_mixed_batches():
    stream = MixedStream(
        SOURCE, "cofe-net", "phantom:fundus?count=3&size=64&seed=9", batch_size=4, unlabelled_size=2, seed=2
    )
    batches = list(stream)
    pairs = dict(rows(PairStream(SOURCE, "cofe-net", batch_size=3, seed=2)))
    assert [len(batch.labelled) for batch in batches] == [4, 3]
    assert [len(batch.unlabelled) for batch in batches] == [2, 2]
    assert same_tables(dict(rows(batch.labelled for batch in batches)), pairs)
    assert len({id_ for batch in batches for id_ in batch.unlabelled.ids}) == 3


def test_batches_can_be_moved_indexed_and_listed():
    batch = next(iter(PairStream(SOURCE, "cofe-net", batch_size=4)))
    assert len(batch[1:3]) == 2
    assert batch[-1].ids == batch.ids[-1:]
    assert torch.equal(batch[2].degraded, batch.degraded[2:3])
    assert torch.equal(batch[2].parameters["type"], batch.parameters["type"][2:3])
    with pytest.raises(IndexError, match="sample 4 of a batch of 4"):
        batch[4]
    assert batch.to("meta").maps["vessels"].device.type == "meta"
    assert len(list(batch.tensors())) == 4 + len(batch.parameters) + len(batch.maps)
    mixed = next(iter(MixedStream(SOURCE, "cofe-net", SOURCE, batch_size=2, unlabelled_size=1)))
    assert mixed.to("meta").unlabelled.image.device.type == "meta"


def test_state_is_plain_numbers():
    stream = PairStream(SOURCE, "cofe-net", batch_size=3)
    next(iter(stream))
    state = json.loads(json.dumps(stream.state_dict()))
    other = PairStream(SOURCE, "cofe-net", batch_size=3)
    other.load_state_dict(state)
    assert sum(len(batch) for batch in other) == 4


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"batch_size": 0}, ["batch_size = 0", "at least 1"]),
        ({"views": 0}, ["views = 0"]),
        ({"size": 16}, ["size = 16", "32"]),
        ({"size": (90, 80)}, ["size = (90, 80)"]),
        ({"crop": 8}, ["crop = 8", "32"]),
        ({"crop": 128}, ["128", "64 x 64 pixels"]),
        ({"size": 64, "crop": 65}, ["crop = 65", "size = 64"]),
        ({"patches": 0}, ["patches = 0"]),
        ({"patches": 2}, ["patches = 2", "crop"]),
        ({"workers": -1}, ["workers = -1"]),
        ({"cache_bytes": -1}, ["cache_bytes = -1"]),
        ({"rank": 2, "world_size": 2}, ["rank = 2", "world_size - 1 = 1"]),
        ({"rank": 1}, ["rank = 1", "both"]),
    ],
)
def test_arguments_that_are_not_allowed_are_named(changes, names):
    with pytest.raises(ValueError, match=r"at least|both|from|patches|size|crop|rank") as error:
        PairStream(SOURCE, "cofe-net", **{"batch_size": 2, **changes})
    assert all(name in str(error.value) for name in names), error.value


def test_images_of_two_sizes_need_a_size(tmp_path):
    for name, side in (("a", 64), ("b", 80)):
        image_io.write(tmp_path / f"{name}.png", torch.zeros(3, side, side, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"'[ab]' is \(3, .*give size or crop"):
        list(PairStream(tmp_path, "cofe-net", batch_size=2))
    assert len(list(PairStream(tmp_path, "cofe-net", batch_size=1))) == 2
    assert next(iter(PairStream(tmp_path, "cofe-net", batch_size=2, size=64))).clean.shape == (2, 3, 64, 64)


def test_a_subset_keeps_the_pictures():
    whole = dict(rows(PairStream(SOURCE, "cofe-net", batch_size=3)))
    part = dict(rows(PairStream(open_source(SOURCE).subset(list(whole)[:3]), "cofe-net", batch_size=3)))
    assert part.keys() == set(list(whole)[:3])
    assert all(equal(whole[id_], row) for id_, row in part.items())


@pytest.mark.parametrize("workers", [0, 1])
def test_torchs_global_generator_is_left_alone(workers):
    before = torch.get_rng_state()
    list(PairStream(SOURCE, "cofe-net-paper", batch_size=4, crop=48, workers=workers))
    assert torch.equal(torch.get_rng_state(), before)
