"""Paired data sets as WebDataset shards: whatever stops a run or changes beside it, their bytes are the same."""

from __future__ import annotations

import json

import pytest

from degrade.pairs import cutting, making, shards
from tests.cli_runs import files, photograph, run
from tests.shard_samples import COUNT, OPTIONS, tars


@pytest.mark.parametrize("workers", [1, 3])
def test_a_second_run_writes_the_same_bytes(shard_pairs, tmp_path, workers):
    run("synth", shard_pairs / "source", tmp_path / "again", *OPTIONS, "--workers", workers)
    assert files(tmp_path / "again") == files(shard_pairs / "shards")


@pytest.mark.parametrize("after", range(COUNT))
def test_interrupted_anywhere_and_resumed(shard_pairs, tmp_path, monkeypatch, after):
    honest, done = making._append, []

    def stopping(part, lines):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(lines)
        honest(part, lines)

    with monkeypatch.context() as patch:
        patch.setattr(making, "_append", stopping)
        run("synth", shard_pairs / "source", tmp_path / "out", *OPTIONS, "--workers", 1, code=130)
    assert not (tmp_path / "out/manifest.jsonl").exists()
    output = run("synth", shard_pairs / "source", tmp_path / "out", *OPTIONS, "--resume").output
    assert (f"{after} images were there already" in output) == (after > 0)
    assert files(tmp_path / "out") == files(shard_pairs / "shards")


@pytest.mark.parametrize("place", ["_copy", "_rename", "finish"])
def test_stopped_while_shards_are_put_in_order(shard_pairs, tmp_path, monkeypatch, place):
    """The disk is full while spools are copied, or while files get their names."""

    def full(*arguments):
        raise OSError(28, "No space left on device", "shards")

    run("synth", shard_pairs / "source", tmp_path / "out", *OPTIONS, "--limit", 1)
    with monkeypatch.context() as patch:
        patch.setattr(cutting.manifest if place == "finish" else cutting, place, full)
        output = run("synth", shard_pairs / "source", tmp_path / "out", *OPTIONS, "--resume", code=1).output
    assert "the disk is full" in output
    assert run("synth", shard_pairs / "source", tmp_path / "out", *OPTIONS, "--resume").output
    assert files(tmp_path / "out") == files(shard_pairs / "shards")


def test_a_full_disk_while_a_spool_is_written(shard_pairs, tmp_path, monkeypatch):
    calls = iter(range(10))

    def full(descriptor):
        if next(calls) == 2:  # recipe.toml and the first image have been written
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shards.os, "fsync", full)
        assert "the disk is full" in run("synth", shard_pairs / "source", tmp_path / "out", *OPTIONS, code=1).output
    output = run("synth", shard_pairs / "source", tmp_path / "out", *OPTIONS, "--resume").output
    assert "1 images were there already" in output
    assert files(tmp_path / "out") == files(shard_pairs / "shards")


def test_more_images_and_changed_ones(own_shard_pairs):
    run("synth", own_shard_pairs / "source", own_shard_pairs / "out", *OPTIONS, "--limit", 2)
    output = run("synth", own_shard_pairs / "source", own_shard_pairs / "out", *OPTIONS, "--resume").output
    assert "2 images were there already" in output
    assert files(own_shard_pairs / "out") == files(own_shard_pairs / "shards")
    photograph(own_shard_pairs / "source/left/b.png", seed=77)  # other bytes, so that everything after it moves
    photograph(own_shard_pairs / "source/a.png", seed=78)
    output = run("synth", own_shard_pairs / "source", own_shard_pairs / "out", *OPTIONS, "--resume").output
    assert f"{COUNT - 1} images were there already" in output
    run("synth", own_shard_pairs / "source", own_shard_pairs / "fresh", *OPTIONS)
    assert files(own_shard_pairs / "out") == files(own_shard_pairs / "fresh")


def test_a_finished_run_resumed_changes_nothing(own_shard_pairs):
    before = {path: path.stat().st_mtime_ns for path in tars(own_shard_pairs / "shards")}
    output = run("synth", own_shard_pairs / "source", own_shard_pairs / "shards", *OPTIONS, "--resume").output
    assert f"{COUNT} images were there already" in output
    assert {path: path.stat().st_mtime_ns for path in tars(own_shard_pairs / "shards")} == before


def test_an_older_line_of_another_process_does_not_win(own_shard_pairs):
    """A run of two processes was killed; the image of the second one is made again by the only process of the next."""
    root = own_shard_pairs / "shards"
    lines = (root / "manifest.jsonl").read_bytes()
    (root / "manifest.jsonl").rename(root / "manifest.part1.jsonl")
    first = json.loads(lines.splitlines()[0])
    path = root / "shards" / first["shard"]["name"]
    data = bytearray(path.read_bytes())
    data[first["files"]["clean"]["offset"] + 100] ^= 1
    path.write_bytes(data)
    output = run("synth", own_shard_pairs / "source", root, *OPTIONS, "--resume").output
    assert f"{COUNT - 1} images were there already" in output
    run("synth", own_shard_pairs / "source", own_shard_pairs / "fresh", *OPTIONS)
    assert files(root) == files(own_shard_pairs / "fresh")
