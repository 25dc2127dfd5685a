"""Paired data sets as WebDataset shards: what they hold, that nothing changes their bytes, damage and resuming."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest
import torch

import degrade
from degrade.images import image_io
from degrade.pairs import PairsError, cutting, making, manifest, shards, synthesize
from degrade.stream import open_source
from tests.cli_runs import files, photograph, run
from tests.cli_runs import manifest as lines_of

COUNT, VIEWS = 5, 2
SIZE = 80_000
OPTIONS = ["--views", VIEWS, "--writer", "shards", "--shard-size", SIZE]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Photographs with awkward names; the same pairs of them in shards and as files."""
    root = tmp_path_factory.mktemp("shards")
    for number, name in enumerate(["a.2021.x", "left/b", "left/c%2E", "d" * 90 + "/" + "e" * 90, "früh"]):
        photograph(root / f"source/{name}.png", number)
    assert len(list((root / "source").rglob("*.png"))) == COUNT
    run("synth", root / "source", root / "shards", *OPTIONS)
    run("synth", root / "source", root / "files", "--views", VIEWS)
    return root


@pytest.fixture
def pairs(made, tmp_path):
    """A source and data sets of its own."""
    shutil.copytree(made, tmp_path / "own")
    return tmp_path / "own"


def tars(root: Path) -> list[Path]:
    return sorted((root / "shards").glob("*.tar"))


# --- what is in them


def test_shards_are_bounded_and_tell_nothing_of_the_run(made):
    found = tars(made / "shards")
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
    assert {path.name for path in (made / "shards").iterdir()} == {"manifest.jsonl", "recipe.toml", "shards"}


def test_an_image_larger_than_a_shard_has_one_of_its_own(tmp_path):
    run("synth", "phantom:fundus?count=3&size=96", tmp_path / "out", "--writer", "shards", "--shard-size", 2**14)
    assert len(tars(tmp_path / "out")) == 3
    assert all(path.stat().st_size > 2**14 for path in tars(tmp_path / "out"))


def test_the_pictures_and_parameters_are_those_of_files(made):
    whole = {line["id"]: line for line in lines_of(made / "files")}
    assert len(lines_of(made / "shards")) == COUNT * VIEWS
    for line, twin in zip(lines_of(made / "shards"), lines_of(made / "files"), strict=True):
        shard = made / "shards/shards" / line.pop("shard")["name"]
        for name, file in line["files"].items():
            folder = {"degraded": f"degraded/{line['id']}_v{line['view']}.png"}.get(name, f"{name}/{line['id']}.png")
            offset = file.pop("offset")
            content = shard.read_bytes()[offset : offset + file["bytes"]]
            assert content == (made / "files" / folder).read_bytes()
        assert line == twin
    assert len(whole) == COUNT


def test_webdataset_reads_them(made):
    webdataset = pytest.importorskip("webdataset", reason="needs webdataset")
    urls = [str(path) for path in tars(made / "shards")]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))
    assert len(samples) == COUNT
    for sample in samples:
        about = json.loads(sample["json"])
        id_ = about["id"]
        assert set(sample) - {"__key__", "__url__", "__local_path__"} == {
            "png", "mask.png", "json", *(f"degraded_v{view}.png" for view in range(VIEWS)),
        }  # fmt: skip
        assert sample["png"] == (made / f"files/clean/{id_}.png").read_bytes()
        assert sample["mask.png"] == (made / f"files/mask/{id_}.png").read_bytes()
        for view, entry in enumerate(about["views"]):
            assert sample[f"degraded_v{view}.png"] == (made / f"files/degraded/{id_}_v{view}.png").read_bytes()
            (line,) = (line for line in lines_of(made / "files") if (line["id"], line["view"]) == (id_, view))
            assert (entry["key"], entry["parameters"]) == (line["key"], line["parameters"])
            assert (about["source"], about["pixels"]) == (line["source"], line["pixels"])
    decoded = next(iter(webdataset.WebDataset(urls, shardshuffle=False).decode("torchrgb")))
    assert decoded["degraded_v0.png"].shape == decoded["png"].shape


def test_our_shard_source_reads_them(made):
    pytest.importorskip("webdataset", reason="needs webdataset")
    source = open_source([str(path) for path in tars(made / "shards")])
    ids = [line["id"] for line in lines_of(made / "files") if line["view"] == 0]
    assert len(source) == COUNT
    assert source.others == COUNT * (VIEWS + 1)
    for index, id_ in enumerate(ids):
        sample = source.load(index)
        assert sample.keys() == {"image", "mask"}
        assert torch.equal(sample["image"], image_io.read(made / f"files/clean/{id_}.png"))
        assert torch.equal(sample["mask"], image_io.read(made / f"files/mask/{id_}.png"))
    assert len(list(degrade.stream.PairStream(source, "cofe-net", batch_size=2, size=64))) == 3


# --- the same bytes


@pytest.mark.parametrize("workers", [1, 3])
def test_a_second_run_writes_the_same_bytes(made, tmp_path, workers):
    run("synth", made / "source", tmp_path / "again", *OPTIONS, "--workers", workers)
    assert files(tmp_path / "again") == files(made / "shards")


@pytest.mark.parametrize("after", range(COUNT))
def test_interrupted_anywhere_and_resumed(made, tmp_path, monkeypatch, after):
    honest, done = making._append, []

    def stopping(part, lines):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(lines)
        honest(part, lines)

    with monkeypatch.context() as patch:
        patch.setattr(making, "_append", stopping)
        run("synth", made / "source", tmp_path / "out", *OPTIONS, "--workers", 1, code=130)
    assert not (tmp_path / "out/manifest.jsonl").exists()
    output = run("synth", made / "source", tmp_path / "out", *OPTIONS, "--resume").output
    assert (f"{after} images were there already" in output) == (after > 0)
    assert files(tmp_path / "out") == files(made / "shards")


@pytest.mark.parametrize("place", ["_copy", "_rename", "finish"])
def test_stopped_while_shards_are_put_in_order(made, tmp_path, monkeypatch, place):
    """The disk is full while spools are copied, or while files get their names."""

    def full(*arguments):
        raise OSError(28, "No space left on device", "shards")

    run("synth", made / "source", tmp_path / "out", *OPTIONS, "--limit", 1)
    with monkeypatch.context() as patch:
        patch.setattr(cutting.manifest if place == "finish" else cutting, place, full)
        output = run("synth", made / "source", tmp_path / "out", *OPTIONS, "--resume", code=1).output
    assert "the disk is full" in output
    assert run("synth", made / "source", tmp_path / "out", *OPTIONS, "--resume").output
    assert files(tmp_path / "out") == files(made / "shards")


def test_a_full_disk_while_a_spool_is_written(made, tmp_path, monkeypatch):
    calls = iter(range(10))

    def full(descriptor):
        if next(calls) == 2:  # recipe.toml and the first image have been written
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shards.os, "fsync", full)
        assert "the disk is full" in run("synth", made / "source", tmp_path / "out", *OPTIONS, code=1).output
    output = run("synth", made / "source", tmp_path / "out", *OPTIONS, "--resume").output
    assert "1 images were there already" in output
    assert files(tmp_path / "out") == files(made / "shards")


def test_more_images_and_changed_ones(pairs):
    run("synth", pairs / "source", pairs / "out", *OPTIONS, "--limit", 2)
    assert "2 images were there already" in run("synth", pairs / "source", pairs / "out", *OPTIONS, "--resume").output
    assert files(pairs / "out") == files(pairs / "shards")
    photograph(pairs / "source/left/b.png", seed=77)  # other bytes, so that everything after it moves
    photograph(pairs / "source/a.png", seed=78)
    output = run("synth", pairs / "source", pairs / "out", *OPTIONS, "--resume").output
    assert f"{COUNT - 1} images were there already" in output
    run("synth", pairs / "source", pairs / "fresh", *OPTIONS)
    assert files(pairs / "out") == files(pairs / "fresh")


def test_a_finished_run_resumed_changes_nothing(pairs):
    before = {path: path.stat().st_mtime_ns for path in tars(pairs / "shards")}
    assert (
        f"{COUNT} images were there already"
        in run("synth", pairs / "source", pairs / "shards", *OPTIONS, "--resume").output
    )
    assert {path: path.stat().st_mtime_ns for path in tars(pairs / "shards")} == before


def test_an_older_line_of_another_process_does_not_win(pairs):
    """A run of two processes was killed; the image of the second one is made again by the only process of the next."""
    root = pairs / "shards"
    lines = (root / "manifest.jsonl").read_bytes()
    (root / "manifest.jsonl").rename(root / "manifest.part1.jsonl")
    first = json.loads(lines.splitlines()[0])
    path = root / "shards" / first["shard"]["name"]
    data = bytearray(path.read_bytes())
    data[first["files"]["clean"]["offset"] + 100] ^= 1
    path.write_bytes(data)
    output = run("synth", pairs / "source", root, *OPTIONS, "--resume").output
    assert f"{COUNT - 1} images were there already" in output
    run("synth", pairs / "source", pairs / "fresh", *OPTIONS)
    assert files(root) == files(pairs / "fresh")


# --- verify, replay, damage


def damaged(line, how: str, path: Path) -> None:
    data = bytearray(path.read_bytes())
    place = {
        "header": line["shard"]["start"] + 110,
        "clean": line["files"]["clean"]["offset"] + 60,
        "degraded": line["files"]["degraded"]["offset"] + 60,
        "trailer": len(data) - 5,
    }
    if how in place:
        data[place[how]] ^= 4
    elif how == "longer":
        data += bytes(512)
    else:
        data = data[: {"half": len(data) // 2, "end": len(data) - 700, "empty": 0}[how]]
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["header", "clean", "degraded", "trailer", "longer", "half", "end", "empty"])
def test_damage_is_found_and_mended(pairs, how):
    root, before = pairs / "shards", files(pairs / "shards")
    line = lines_of(root)[0]
    damaged(line, how, root / "shards" / line["shard"]["name"])
    assert f"shards/{line['shard']['name']}: " in run("verify", root, code=1).output
    run("synth", pairs / "source", root, *OPTIONS, "--resume")
    assert files(root) == before
    assert f"all files of its {COUNT * VIEWS} pairs are whole" in run("verify", root).output


def test_a_missing_shard_and_a_stray_one(pairs):
    root, before = pairs / "shards", files(pairs / "shards")
    (root / "shards/000000.tar").unlink()
    (root / "shards/notes.txt").write_text("mine")
    output = run("verify", root, code=1).output
    assert "shards/000000.tar: missing" in output
    assert "1 files that no line names: shards/notes.txt" in output
    run("synth", pairs / "source", root, *OPTIONS, "--resume")
    assert files(root) == before | {"shards/notes.txt": b"mine"}


@pytest.mark.parametrize("kind", ["shards", "files"])
def test_replay_takes_the_data_sets_own_image(made, tmp_path, kind):
    for line in lines_of(made / kind):
        where = f"{made / kind / 'manifest.jsonl'}:{line['id']}:{line['view']}"
        run("replay", where, "-", tmp_path / "again.png")
        expected = made / f"files/degraded/{line['id']}_v{line['view']}.png"
        assert (tmp_path / "again.png").read_bytes() == expected.read_bytes()
        run("replay", where, made / f"files/clean/{line['id']}.png", tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == expected.read_bytes()


def test_replay_without_a_data_set_needs_an_image(made, tmp_path):
    (tmp_path / "line.json").write_text(json.dumps(lines_of(made / "files")[0]))
    assert "an image is needed" in run("replay", tmp_path / "line.json", "-", tmp_path / "x.png", code=2).output


@pytest.mark.parametrize("name", ["../../outside.tar", "/etc/passwd", "a/../../outside.tar", ""])
def test_no_shard_outside_is_read(pairs, name):
    root = pairs / "shards"
    (pairs / "outside.tar").write_bytes((root / "shards/000000.tar").read_bytes())
    line = lines_of(root)[0]
    line["shard"]["name"] = name
    (root / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    assert "outside the data set" in run("verify", root, code=1).output
    where = f"{root / 'manifest.jsonl'}:{line['id']}:0"
    assert "outside its data set" in run("replay", where, "-", pairs / "x.png", code=2).output


@pytest.mark.parametrize("change", [
    ("start", -512), ("bytes", -1), ("bytes", 2**62), ("start", 2**62), ("bytes", 0), ("blake2", ""),
])  # fmt: skip
def test_hostile_places_are_problems(pairs, change):
    root = pairs / "shards"
    line = lines_of(root)[0]
    line["shard"][change[0]] = change[1]
    (root / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    assert "problems in the 1 lines" in run("verify", root, code=1).output


@pytest.mark.parametrize(
    "change", [("offset", -1), ("bytes", 2**62), ("bytes", -5), ("offset", 2**62), ("offset", None)]
)
def test_hostile_places_of_files_are_refused(pairs, change):
    root = pairs / "shards"
    line = lines_of(root)[0]
    line["files"]["clean"][change[0]] = change[1]
    (root / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    run("verify", root, code=1)
    assert (
        "cannot be read" in run("replay", f"{root}/manifest.jsonl:{line['id']}:0", "-", pairs / "x.png", code=2).output
    )


# --- the folder


def test_resume_refuses_another_writer_and_another_size(pairs):
    before = files(pairs / "shards")
    output = run("synth", pairs / "source", pairs / "shards", "--views", VIEWS, "--resume", code=2).output
    assert "writer = shards (now files)" in output
    output = run("synth", pairs / "source", pairs / "shards", *OPTIONS[:-1], 2**20, "--resume", code=2).output
    assert f"shard_size = {SIZE}" in output
    assert "writer = none" not in output
    assert files(pairs / "shards") == before
    output = run("synth", pairs / "source", pairs / "files", *OPTIONS, "--resume", code=2).output
    assert "writer = files (now shards)" in output


def test_overwrite_deletes_what_the_writer_wrote_and_nothing_else(pairs):
    (pairs / "files/shards").mkdir()
    (pairs / "files/shards/mine.tar").write_text("mine")
    run("synth", pairs / "source", pairs / "files", *OPTIONS, "--overwrite")
    assert files(pairs / "files") == files(pairs / "shards") | {"shards/mine.tar": b"mine"}
    run("synth", pairs / "source", pairs / "shards", "--views", VIEWS, "--overwrite")
    assert not (pairs / "shards/shards").exists()


def test_the_recipe_of_files_is_as_before(made):
    text = (made / "files/recipe.toml").read_text()
    assert "writer" not in text
    assert "shard_size" not in text
    assert 'writer = "shards"' in (made / "shards/recipe.toml").read_text()


def test_shards_are_no_source_of_their_own_folder(pairs):
    pytest.importorskip("webdataset", reason="needs webdataset")
    before = files(pairs / "shards")
    source = pairs / "shards/shards/000000.tar"
    assert "lie inside" in run("synth", source, pairs / "shards", *OPTIONS, "--overwrite", code=2).output
    assert files(pairs / "shards") == before


def test_a_shard_size_too_small_is_refused(made, tmp_path):
    with pytest.raises(PairsError, match="shard_size = 10: at least"):
        synthesize("phantom:fundus?count=1&size=64", tmp_path / "out", "cofe-net", writer="shards", shard_size=10)
    assert not (tmp_path / "out").exists()


def test_bad_images_are_left_out(pairs):
    (pairs / "source/left/bad.png").write_text("no image")
    output = run("synth", pairs / "source", pairs / "new", *OPTIONS).output
    assert "1 images failed" in output
    assert {path: data for path, data in files(pairs / "new").items() if path != "failed.jsonl"} == files(
        pairs / "shards"
    )


def test_lines_of_shards_are_encoded_as_they_are_read(made):
    for _, line in manifest.read(made / "shards/manifest.jsonl"):
        assert line.shard is not None
        assert manifest.parse(line.encode().encode()) == line
        assert line.moved(line.shard.name, line.shard.start) == line


def test_keys_have_no_dots(made):
    names = []
    for path in tars(made / "shards"):
        with tarfile.open(path) as archive:
            names += archive.getnames()
    ends = ["png", "mask.png", *(f"degraded_v{view}.png" for view in range(VIEWS)), "json"]
    assert names[: len(ends)] == [f"a%2E2021%2Ex.{end}" for end in ends]
    assert f"left/c%252E.{ends[0]}" in names
    assert len(set(names)) == COUNT * len(ends)
