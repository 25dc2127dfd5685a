"""Paired data sets as WebDataset shards: what they hold, who reads them, and the folder that they lie in."""

from __future__ import annotations

import json
import tarfile

import pytest
import torch

from degrade.images import image_io
from degrade.pairs import PairsError, manifest, synthesize
from degrade.stream import PairStream, open_source
from tests.cli_runs import files, run
from tests.cli_runs import manifest as lines_of
from tests.shard_samples import COUNT, OPTIONS, SIZE, VIEWS, tars


def test_shards_are_bounded_and_tell_nothing_of_the_run(shard_pairs):
    found = tars(shard_pairs / "shards")
    assert len(found) > 1
    assert [path.name for path in found] == [f"{number:06d}.tar" for number in range(len(found))]
    assert all(path.stat().st_size <= SIZE for path in found)
    members = 0
    for path in found:
        with tarfile.open(path, "r:") as archive:
            members = max(members, len(archive.getnames()))
            for member in archive:
                assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
                assert (member.type, member.mode) == (tarfile.REGTYPE, 0o644)
    assert members > VIEWS + 3  # more than one image in one of them
    assert {path.name for path in (shard_pairs / "shards").iterdir()} == {"manifest.jsonl", "recipe.toml", "shards"}


def test_an_image_larger_than_a_shard_has_one_of_its_own(tmp_path):
    run("synth", "phantom:fundus?count=3&size=96", tmp_path / "out", "--writer", "shards", "--shard-size", 2**14)
    assert len(tars(tmp_path / "out")) == 3
    assert all(path.stat().st_size > 2**14 for path in tars(tmp_path / "out"))


def test_the_pictures_and_parameters_are_those_of_files(shard_pairs):
    whole = {line["id"]: line for line in lines_of(shard_pairs / "files")}
    assert len(lines_of(shard_pairs / "shards")) == COUNT * VIEWS
    for line, twin in zip(lines_of(shard_pairs / "shards"), lines_of(shard_pairs / "files"), strict=True):
        shard = shard_pairs / "shards/shards" / line.pop("shard")["name"]
        for name, file in line["files"].items():
            folder = {"degraded": f"degraded/{line['id']}_v{line['view']}.png"}.get(name, f"{name}/{line['id']}.png")
            offset = file.pop("offset")
            content = shard.read_bytes()[offset : offset + file["bytes"]]
            assert content == (shard_pairs / "files" / folder).read_bytes()
        assert line == twin
    assert len(whole) == COUNT


def test_webdataset_reads_them(shard_pairs):
    webdataset = pytest.importorskip("webdataset", reason="needs webdataset")
    urls = [str(path) for path in tars(shard_pairs / "shards")]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(samples) == COUNT
    for sample in samples:
        about = json.loads(sample["json"])
        id_ = about["id"]
        assert set(sample) - {"__key__", "__url__", "__local_path__"} == {
            "png", "mask.png", "json", *(f"degraded_v{view}.png" for view in range(VIEWS)),
        }  # fmt: skip
        assert sample["png"] == (shard_pairs / f"files/clean/{id_}.png").read_bytes()
        assert sample["mask.png"] == (shard_pairs / f"files/mask/{id_}.png").read_bytes()
        for view, entry in enumerate(about["views"]):
            assert sample[f"degraded_v{view}.png"] == (shard_pairs / f"files/degraded/{id_}_v{view}.png").read_bytes()
            (line,) = (line for line in lines_of(shard_pairs / "files") if (line["id"], line["view"]) == (id_, view))
            assert (entry["key"], entry["parameters"]) == (line["key"], line["parameters"])
            assert (about["source"], about["pixels"]) == (line["source"], line["pixels"])
    decoded = next(iter(webdataset.WebDataset(urls, shardshuffle=False).decode("torchrgb")))
    assert decoded["degraded_v0.png"].shape == decoded["png"].shape


def test_our_shard_source_reads_them(shard_pairs):
    pytest.importorskip("webdataset", reason="needs webdataset")
    source = open_source([str(path) for path in tars(shard_pairs / "shards")])
    ids = [line["id"] for line in lines_of(shard_pairs / "files") if line["view"] == 0]
    assert len(source) == COUNT
    assert source.others == COUNT * (VIEWS + 1)
    for index, id_ in enumerate(ids):
        sample = source.load(index)
        assert sample.keys() == {"image", "mask"}
        assert torch.equal(sample["image"], image_io.read(shard_pairs / f"files/clean/{id_}.png"))
        assert torch.equal(sample["mask"], image_io.read(shard_pairs / f"files/mask/{id_}.png"))
    assert len(list(PairStream(source, "cofe-net", batch_size=2, size=64))) == 3


# --- the folder


def test_resume_refuses_another_writer_and_another_size(own_shard_pairs):
    before = files(own_shard_pairs / "shards")
    larger = [*OPTIONS[:-1], 2**20]
    output = run("synth", own_shard_pairs / "source", own_shard_pairs / "shards", *larger, "--resume", code=2).output
    assert f"shard_size = {SIZE}" in output
    assert "writer = none" not in output
    assert files(own_shard_pairs / "shards") == before
    output = run("synth", own_shard_pairs / "source", own_shard_pairs / "files", *OPTIONS, "--resume", code=2).output
    assert "writer = files (now shards)" in output


def test_overwrite_deletes_what_the_writer_wrote_and_nothing_else(own_shard_pairs):
    (own_shard_pairs / "files/shards").mkdir()
    (own_shard_pairs / "files/shards/mine.tar").write_text("mine")
    run("synth", own_shard_pairs / "source", own_shard_pairs / "files", *OPTIONS, "--overwrite")
    assert files(own_shard_pairs / "files") == files(own_shard_pairs / "shards") | {"shards/mine.tar": b"mine"}
    run("synth", own_shard_pairs / "source", own_shard_pairs / "shards", "--views", VIEWS, "--overwrite")
    assert not (own_shard_pairs / "shards/shards").exists()


def test_the_recipe_of_files_is_as_before(shard_pairs):
    text = (shard_pairs / "files/recipe.toml").read_text()
    assert "writer" not in text
    assert "shard_size" not in text
    assert 'writer = "shards"' in (shard_pairs / "shards/recipe.toml").read_text()


def test_shards_are_no_source_of_their_own_folder(own_shard_pairs):
    pytest.importorskip("webdataset", reason="needs webdataset")
    before = files(own_shard_pairs / "shards")
    source = own_shard_pairs / "shards/shards/000000.tar"
    assert "lie inside" in run("synth", source, own_shard_pairs / "shards", *OPTIONS, "--overwrite", code=2).output
    assert files(own_shard_pairs / "shards") == before


def test_a_shard_size_too_small_is_refused(shard_pairs, tmp_path):
    with pytest.raises(PairsError, match="shard_size = 10: at least"):
        synthesize("phantom:fundus?count=1&size=64", tmp_path / "out", "cofe-net", writer="shards", shard_size=10)
    assert not (tmp_path / "out").exists()


def test_bad_images_are_left_out(own_shard_pairs):
    (own_shard_pairs / "source/left/bad.png").write_text("no image")
    output = run("synth", own_shard_pairs / "source", own_shard_pairs / "new", *OPTIONS).output
    assert "1 images failed" in output
    made = files(own_shard_pairs / "new")
    assert made.pop("failed.jsonl")
    assert made == files(own_shard_pairs / "shards")


def test_lines_of_shards_are_encoded_as_they_are_read(shard_pairs):
    for _, line in manifest.read(shard_pairs / "shards/manifest.jsonl"):
        assert line.shard is not None
        assert manifest.parse(line.encode().encode()) == line
        assert line.moved(line.shard.name, line.shard.start) == line


def test_keys_have_no_dots(shard_pairs):
    names = []
    for path in tars(shard_pairs / "shards"):
        with tarfile.open(path) as archive:
            names += archive.getnames()
    ends = ["png", "mask.png", *(f"degraded_v{view}.png" for view in range(VIEWS)), "json"]
    assert names[: len(ends)] == [f"a%2E2021%2Ex.{end}" for end in ends]
    assert f"left/c%252E.{ends[0]}" in names
    assert len(set(names)) == COUNT * len(ends)
