"""Paired data sets from Python: synthesize, replay, and PairedDataset as a data set and as a source of streams."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
from torch.utils.data import DataLoader

import degrade
from degrade.images import image_io
from degrade.pairs import PairedDataset, PairsError, manifest, replay, synthesize
from degrade.stream import PairStream, SourceError, open_source
from tests.cli_runs import PHANTOMS, files, photograph, run
from tests.cli_runs import manifest as lines_of

WRITERS = ["files", "shards"]


@pytest.fixture(scope="module", params=WRITERS)
def made(request, tmp_path_factory):
    root = tmp_path_factory.mktemp(request.param) / "pairs"
    outcome = synthesize(PHANTOMS, root, "cofe-net", views=2, seed=3, writer=request.param, shard_size=2**16)
    assert (outcome.claimed, outcome.written, outcome.present, outcome.pairs) == (3, 3, 0, 6)
    assert outcome.failures == []
    return root


# --- synthesize


def test_it_writes_what_the_command_writes(made, tmp_path):
    shards = ["--writer", "shards", "--shard-size", 2**16] if (made / "shards").exists() else []
    run("synth", PHANTOMS, tmp_path / "out", "--views", 2, "--seed", 3, *shards)
    assert files(tmp_path / "out") == files(made)


def test_progress_resume_limit_and_overwrite(tmp_path):
    seen = []
    source = image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, 3), 64)[0])
    recipe = degrade.recipe("cofe-net", type="111")
    first = synthesize(source, tmp_path, recipe, limit=2, progress=lambda done, total: seen.append((done, total)))
    assert (first.written, first.pairs) == (2, 2)
    assert seen == [(0, 2), (1, 2), (2, 2)]
    with pytest.raises(PairsError, match="not empty"):
        synthesize(source, tmp_path, recipe)
    second = synthesize(source, tmp_path, recipe, resume=True, size=None)
    assert (second.written, second.present, second.pairs) == (1, 2, 3)
    third = synthesize(source, tmp_path, recipe, overwrite=True, size=48, bits=16)
    assert (third.written, third.present) == (3, 0)
    assert image_io.read(tmp_path / "clean/000000.png").shape == (3, 48, 48)
    assert image_io.read(tmp_path / "clean/000000.png").dtype == torch.uint16


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"writer": "tar"}, "writer = 'tar': allowed is one of files, shards"),
        ({"format": "gif"}, "format = 'gif': allowed is one of png, jpeg, webp"),
        ({"views": 0}, "views = 0: at least 1"),
        ({"views": 1.5}, "views = 1.5: a whole number"),
        ({"size": 8}, "size = 8: at least"),
        ({"bits": 12}, "bits = 12: allowed is 8, 16 or None"),
        ({"limit": 0}, "limit = 0"),
        ({"workers": 0}, "workers = 0"),
        ({"batch_size": 0}, "batch_size = 0"),
        ({"seed": "x"}, "seed = 'x'"),
        ({"resume": True, "overwrite": True}, "both cannot be"),
    ],
)
def test_arguments_are_checked_before_anything_is_written(tmp_path, options, said):
    with pytest.raises(PairsError, match=said):
        synthesize(PHANTOMS, tmp_path / "out", "cofe-net", **options)
    assert not (tmp_path / "out").exists()


def test_failures_are_told(tmp_path):
    photograph(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_text("no image")
    outcome = synthesize(tmp_path / "in", tmp_path / "out", "cofe-net")
    ((item, reason),) = outcome.failures
    assert (item.source, item.id) == ("b.png", "b")
    assert reason
    assert outcome.pairs == 1


# --- replay


def test_replay_of_everything_a_line_can_be(made, tmp_path):
    pairs = PairedDataset(made)
    where = made / "manifest.jsonl"
    for index in range(len(pairs)):
        line, pair = pairs.line(index), pairs[index]
        stored = image_io.to_integer(pair.degraded)
        clean, mask = image_io.to_integer(pair.clean), pair.mask
        text = lines_of(made)[index]
        (tmp_path / "line.json").write_text(json.dumps(text))
        assert torch.equal(replay(f"{where}:{line.id}:{line.view}"), stored)
        for one in (line, text, text["parameters"], tmp_path / "line.json", str(tmp_path / "line.json")):
            assert torch.equal(replay(one, clean, mask), stored)
            assert torch.equal(replay(one, clean, mask[None], recipe="cofe-net"), stored)
        again = replay(line, pair.clean, mask)
        assert again.dtype == torch.float32
        assert torch.equal(image_io.to_integer(again), stored)
        deep = replay(line, image_io.to_integer(pair.clean, 16), mask)
        assert deep.dtype == torch.uint16


def test_replay_needs_an_image_and_a_line(made):
    line = next(line for _, line in manifest.read(made / "manifest.jsonl"))
    with pytest.raises(PairsError, match="an image is needed"):
        replay(line)
    with pytest.raises(PairsError, match="has no image 'nobody'"):
        replay(f"{made}/manifest.jsonl:nobody:0")


# --- the data set


def test_pairs_are_what_was_written(made):
    pairs = PairedDataset(made)
    lines = lines_of(made)
    assert len(pairs) == len(lines) == 6
    assert pairs.ids == [f"{line['id']}_v{line['view']}" for line in lines]
    for index, line in enumerate(lines):
        pair = pairs[index]
        assert (pair.id, pair.view, str(pair.key)) == (line["id"], line["view"], line["key"])
        for image, shape in ((pair.clean, (3, 64, 64)), (pair.degraded, (3, 64, 64)), (pair.mask, (1, 64, 64))):
            assert image.shape == shape
            assert image.dtype == torch.float32
        drawn = pairs.recipe.draw(torch.tensor([pair.key]), 64, 64)
        assert drawn.keys() == pair.parameters.keys()
        assert all(torch.equal(drawn[name][0], value) for name, value in pair.parameters.items())
        degraded = pairs.recipe.apply(pair.clean[None], drawn, pair.mask[None])[0]
        assert torch.equal(image_io.to_integer(degraded), image_io.to_integer(pair.degraded))
    assert torch.equal(pairs[-1].degraded, pairs[5].degraded)
    for wrong in (6, -7):
        with pytest.raises(IndexError, match="of 6"):
            pairs[wrong]


def test_files_and_shards_hold_the_same(tmp_path):
    for writer in WRITERS:
        synthesize(PHANTOMS, tmp_path / writer, "cofe-net", views=2, writer=writer, format="webp")
    for one, other in zip(*(PairedDataset(tmp_path / writer) for writer in WRITERS), strict=True):
        assert (one.id, one.view, one.key) == (other.id, other.view, other.key)
        assert all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("clean", "degraded", "mask"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_data_loader_joins_pairs(made, workers):
    pairs = PairedDataset(made)
    batches = list(DataLoader(pairs, batch_size=4, num_workers=workers))
    assert [len(batch.id) for batch in batches] == [4, 2]
    assert batches[0].clean.shape == (4, 3, 64, 64)
    assert batches[0].key.tolist() == [pairs[index].key for index in range(4)]
    again = pairs.recipe.apply(batches[0].clean, batches[0].parameters, batches[0].mask)
    assert torch.equal(image_io.to_integer(again), image_io.to_integer(batches[0].degraded))


def test_it_can_be_pickled(made):
    pairs = PairedDataset(made)
    assert torch.equal(pickle.loads(pickle.dumps(pairs))[4].degraded, pairs[4].degraded)


def test_a_stream_takes_it_as_a_source(made):
    pairs = PairedDataset(made)
    assert open_source(pairs) is pairs
    stream = PairStream(pairs, "cofe-net", batch_size=2, crop=48, hflip=True, seed=1)
    found = 0
    for batch in stream:
        for row, id_ in enumerate(batch.ids):
            pair = pairs[pairs.ids.index(id_)]
            place = _place(batch.clean[row], pair.clean)
            assert place is not None
            for image, whole in ((batch.maps["degraded"], pair.degraded), (batch.mask, pair.mask)):
                assert torch.equal(_window(whole, *place), image[row])
            assert not torch.equal(batch.maps["degraded"][row], batch.degraded[row])
            found += 1
    assert found == 6
    assert stream.failed == {}


def _window(image, top, left, flipped):
    window = image[:, top : top + 48, left : left + 48]
    return window.flip(-1) if flipped else window


def _place(window, image):
    """Where a window was cut out, and whether it was flipped."""
    places = ((top, left, flipped) for top in range(17) for left in range(17) for flipped in (False, True))
    return next((place for place in places if torch.equal(_window(image, *place), window)), None)


def test_the_path_itself_is_no_source(made):
    with pytest.raises(SourceError, match="PairedDataset"):
        PairStream(made, "cofe-net", batch_size=2)


def test_other_folders_are_refused(made, tmp_path):
    with pytest.raises(PairsError, match="no finished data set"):
        PairedDataset(tmp_path)
    (tmp_path / "recipe.toml").write_bytes((made / "recipe.toml").read_bytes())
    with pytest.raises(PairsError, match="no finished data set"):
        PairedDataset(tmp_path)
    (tmp_path / "manifest.jsonl").write_text("")
    with pytest.raises(PairsError, match="has no pairs"):
        PairedDataset(tmp_path)


def test_a_changed_manifest_is_an_error(made, tmp_path):
    import shutil

    root = shutil.copytree(made, tmp_path / "own")
    pairs = PairedDataset(root)
    lines = (root / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    (root / "manifest.jsonl").write_bytes(b"".join(lines[1:]))
    with pytest.raises(ValueError, match=r"has changed since it was opened|no line of a manifest"):
        pairs[0]


def test_pairs_are_degraded_again_from_pairs(made, tmp_path):
    """A PairedDataset is a source like any other."""
    outcome = synthesize(PairedDataset(made), tmp_path / "more", "cataract")
    assert outcome.pairs == 6
    with pytest.raises(PairsError, match="inside"):
        synthesize(PairedDataset(made), made / "inner", "cataract")
