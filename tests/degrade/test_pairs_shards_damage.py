"""Paired data sets as WebDataset shards that are damaged or hostile: verify, resume and replay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli_runs import files, run
from tests.cli_runs import manifest as lines_of
from tests.shard_samples import COUNT, OPTIONS, VIEWS


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
def test_damage_is_found_and_mended(own_shard_pairs, how):
    root, before = own_shard_pairs / "shards", files(own_shard_pairs / "shards")
    line = lines_of(root)[0]
    damaged(line, how, root / "shards" / line["shard"]["name"])
    assert f"shards/{line['shard']['name']}: " in run("verify", root, code=1).output
    run("synth", own_shard_pairs / "source", root, *OPTIONS, "--resume")
    assert files(root) == before
    assert f"all files of its {COUNT * VIEWS} pairs are whole" in run("verify", root).output


def test_a_missing_shard_and_a_stray_one(own_shard_pairs):
    root, before = own_shard_pairs / "shards", files(own_shard_pairs / "shards")
    (root / "shards/000000.tar").unlink()
    (root / "shards/notes.txt").write_text("mine")
    output = run("verify", root, code=1).output
    assert "shards/000000.tar: missing" in output
    assert "1 files that no line names: shards/notes.txt" in output
    run("synth", own_shard_pairs / "source", root, *OPTIONS, "--resume")
    assert files(root) == before | {"shards/notes.txt": b"mine"}


@pytest.mark.parametrize("kind", ["shards", "files"])
def test_replay_takes_the_data_sets_own_image(shard_pairs, tmp_path, kind):
    for line in lines_of(shard_pairs / kind):
        where = f"{shard_pairs / kind / 'manifest.jsonl'}:{line['id']}:{line['view']}"
        run("replay", where, "-", tmp_path / "again.png")
        expected = shard_pairs / f"files/degraded/{line['id']}_v{line['view']}.png"
        assert (tmp_path / "again.png").read_bytes() == expected.read_bytes()
        run("replay", where, shard_pairs / f"files/clean/{line['id']}.png", tmp_path / "again.png")
        assert (tmp_path / "again.png").read_bytes() == expected.read_bytes()


def test_replay_without_a_data_set_needs_an_image(shard_pairs, tmp_path):
    (tmp_path / "line.json").write_text(json.dumps(lines_of(shard_pairs / "files")[0]))
    assert "an image is needed" in run("replay", tmp_path / "line.json", "-", tmp_path / "x.png", code=2).output


@pytest.mark.parametrize("name", ["../../outside.tar", "/etc/passwd", "a/../../outside.tar", ""])
def test_no_shard_outside_is_read(own_shard_pairs, name):
    root = own_shard_pairs / "shards"
    (own_shard_pairs / "outside.tar").write_bytes((root / "shards/000000.tar").read_bytes())
    line = lines_of(root)[0]
    line["shard"]["name"] = name
    (root / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    assert "outside the data set" in run("verify", root, code=1).output
    where = f"{root / 'manifest.jsonl'}:{line['id']}:0"
    assert "outside its data set" in run("replay", where, "-", own_shard_pairs / "x.png", code=2).output


@pytest.mark.parametrize("change", [
    ("start", -512), ("bytes", -1), ("bytes", 2**62), ("start", 2**62), ("bytes", 0), ("blake2", ""),
])  # fmt: skip
def test_hostile_places_are_problems(own_shard_pairs, change):
    root = own_shard_pairs / "shards"
    line = lines_of(root)[0]
    line["shard"][change[0]] = change[1]
    (root / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    assert "problems in the 1 lines" in run("verify", root, code=1).output


@pytest.mark.parametrize(
    "change", [("offset", -1), ("bytes", 2**62), ("bytes", -5), ("offset", 2**62), ("offset", None)]
)
def test_hostile_places_of_files_are_refused(own_shard_pairs, change):
    root = own_shard_pairs / "shards"
    line = lines_of(root)[0]
    line["files"]["clean"][change[0]] = change[1]
    (root / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    run("verify", root, code=1)
    where = f"{root / 'manifest.jsonl'}:{line['id']}:0"
    assert "cannot be read" in run("replay", where, "-", own_shard_pairs / "x.png", code=2).output
