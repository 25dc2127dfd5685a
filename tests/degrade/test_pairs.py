"""Paired data sets on disk: what a resumed run compares, what `verify` finds, keys as text, locks."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import degrade
from degrade.files import LockedError, locked
from degrade.images import image_io
from degrade.pairs import making, manifest
from degrade.pairs.errors import PairsError
from degrade.pairs.replay import load
from tests.cli_runs import files, photograph, run
from tests.cli_runs import manifest as lines_of

COUNT = 3


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("pairs")
    for number in range(COUNT):
        photograph(root / f"source/{number}.png", number)
    run("synth", root / "source", root / "pairs", "--views", 2)
    return root


@pytest.fixture
def pairs(made, tmp_path):
    """A source and a data set of its own."""
    shutil.copytree(made, tmp_path / "own")
    return tmp_path / "own"


def resume(root: Path) -> str:
    return run("synth", root / "source", root / "pairs", "--views", 2, "--resume").output


# --- resume compares what decides a byte


def test_a_source_that_was_overwritten_is_degraded_again(pairs):
    before = files(pairs / "pairs")
    photograph(pairs / "source/1.png", seed=9)
    output = resume(pairs)
    assert "2 images were there already" in output
    after = files(pairs / "pairs")
    changed = {name for name in after if after[name] != before[name]}
    assert {"clean/1.png", "degraded/1_v0.png", "degraded/1_v1.png", "manifest.jsonl"} <= changed
    assert not any(name.split("/")[-1].startswith(("0", "2")) for name in changed)
    run("synth", pairs / "source", pairs / "fresh", "--views", 2)
    assert files(pairs / "fresh") == after


def test_the_same_pixels_in_another_file_are_the_same_source(pairs):
    before = files(pairs / "pairs")
    image = image_io.read(pairs / "source/1.png")
    (pairs / "source/1.png").write_bytes(image_io.encode(image, "tiff"))
    assert f"{COUNT} images were there already" in resume(pairs)
    assert files(pairs / "pairs") == before


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "empty"])
@pytest.mark.parametrize("name", ["clean/1.png", "mask/1.png", "degraded/1_v1.png"])
def test_a_damaged_output_is_found_and_made_again(pairs, name, damage):
    before = files(pairs / "pairs")
    path = pairs / "pairs" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    {
        "truncate": lambda: path.write_bytes(data[: len(data) // 2]),
        "flip": lambda: path.write_bytes(data),
        "delete": path.unlink,
        "empty": lambda: path.write_bytes(b""),
    }[damage]()
    output = run("verify", pairs / "pairs", code=1).output
    assert name in output
    assert f"{COUNT - 1} images were there already" in resume(pairs)
    assert files(pairs / "pairs") == before
    assert "all files of its 6 pairs are whole" in run("verify", pairs / "pairs").output


@pytest.mark.parametrize(
    ("first", "then"), [((), ("--window", "file")), (("--window", "40,400"), ("--window", "file"))]
)
def test_resume_refuses_another_window(pairs, first, then):
    dest = pairs / "windows"
    run("synth", pairs / "source", dest, *first, "--limit", 1)
    before = files(dest)
    output = run("synth", pairs / "source", dest, *then, "--resume", code=2).output
    assert "window = " in output
    assert "(now file)" in output
    assert files(dest) == before
    run("synth", pairs / "source", dest, *first, "--resume")


def test_resume_refuses_another_version(pairs):
    recipe = pairs / "pairs/recipe.toml"
    recipe.write_text(recipe.read_text().replace(f'version = "{degrade.__version__}"', 'version = "9.9"'))
    output = run("synth", pairs / "source", pairs / "pairs", "--views", 2, "--resume", code=2).output
    assert "version = 9.9" in output


# --- fewer pairs than were claimed


@pytest.mark.parametrize("replaced", [False, True])
def test_a_folder_deleted_during_a_run_is_an_error(pairs, monkeypatch, replaced):
    dest = pairs / "out"
    honest = making._write

    def deleting(dataset, item, *rest):
        done = honest(dataset, item, *rest)
        if item.index == 1:
            shutil.rmtree(dest)
            if replaced:
                dest.mkdir()
        return done

    monkeypatch.setattr(making, "_write", deleting)
    output = run("synth", pairs / "source", dest, "--workers", 1, code=2).output
    assert "deleted" in output
    assert "pairs are in" not in output


def test_lines_lost_during_a_run_are_an_error(pairs, monkeypatch):
    dest = pairs / "out"
    honest = making._append

    def losing(part, lines):
        honest(part, lines if b"" == b"" and not losing.calls else [])
        losing.calls += 1

    losing.calls = 0
    monkeypatch.setattr(making, "_append", losing)
    output = run("synth", pairs / "source", dest, "--workers", 1, code=1).output
    assert "3 pairs were made and 1 are in" in output


# --- verify


def test_verify_names_what_is_wrong(pairs):
    root = pairs / "pairs"
    (root / "degraded/stray.png").write_bytes(b"mine")
    assert "1 files that no line names: degraded/stray.png" in run("verify", root).output
    with open(root / "manifest.jsonl", "ab") as file:
        file.write(b"no line\n")
    assert "manifest.jsonl, line 7" in run("verify", root, code=1).output
    for content in (b"", b"recipe = 3"):
        (root / "recipe.toml").write_bytes(content)
        assert "no data set" in run("verify", root, code=2).output


def test_verify_looks_at_no_file_outside(pairs):
    root = pairs / "pairs"
    line = json.loads((root / "manifest.jsonl").read_text().splitlines()[0])
    line["id"] = "../../source/0"
    (root / "manifest.jsonl").write_text(json.dumps(line) + "\n")
    assert "outside the data set" in run("verify", root, code=1).output


# --- keys of 64 bits as text


def test_keys_are_text_and_survive_programs_that_read_numbers_as_float64(made):
    for line in lines_of(made / "pairs"):
        assert isinstance(line["key"], str)
        assert isinstance(line["parameters"]["noise_key"], str)
        key = torch.tensor([int(line["key"])])
        assert int(line["parameters"]["noise_key"]) == int(degrade.fold_in(key, "noise"))


def test_keys_as_numbers_are_read_and_rounded_ones_refused(pairs):
    line = lines_of(pairs / "pairs")[0]
    expected = load(f"{pairs / 'pairs/manifest.jsonl'}:{line['id']}:0").parameters
    exact = {**line, "key": int(line["key"])}
    exact["parameters"] = {**line["parameters"], "noise_key": int(line["parameters"]["noise_key"])}
    path = pairs / "line.json"
    path.write_text(json.dumps(exact))
    assert torch.equal(load(str(path)).parameters["noise_key"], expected["noise_key"])
    rounded = json.loads(json.dumps(exact))
    rounded["parameters"]["noise_key"] = int(float(exact["parameters"]["noise_key"]))
    assert rounded != exact
    path.write_text(json.dumps(rounded))
    with pytest.raises(PairsError, match=r"noise_key = .* does not belong to key = .*rounded"):
        load(str(path))
    (pairs / "pairs/manifest.jsonl").write_text(json.dumps(rounded) + "\n")
    with pytest.raises(PairsError, match="rounded"):
        load(f"{pairs / 'pairs/manifest.jsonl'}:{line['id']}:0")


# --- locks


def _hold(folder, ready):
    with locked(folder):
        ready.send(True)
        time.sleep(60)


def test_a_second_process_on_the_same_folder_is_refused(pairs):
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    other = context.Process(target=_hold, args=(pairs / "pairs", there))
    other.start()
    try:
        assert here.poll(60)
        before = files(pairs / "pairs")
        output = run("synth", pairs / "source", pairs / "pairs", "--views", 2, "--resume", code=1).output
        assert f"is being written by another process (process {other.pid} on" in output
        assert files(pairs / "pairs") == before
        other.kill()  # the lock dies with its owner
        other.join()
        assert f"{COUNT} images were there already" in resume(pairs)
    finally:
        other.kill()
        other.join()


def test_the_lock_leaves_no_file_and_can_be_taken_again(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "new"):
            assert (tmp_path / "new/.lock").exists()
        assert not list((tmp_path / "new").iterdir())
    assert issubclass(LockedError, RuntimeError)


# --- small things


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_closed_streams_stop_nothing(tmp_path, closed):
    command = f"{sys.executable} -m cli.degrade synth 'phantom:fundus?count=2&size=64' {tmp_path / 'out'} {closed}"
    assert subprocess.run(["sh", "-c", command], cwd=Path(__file__).parents[2]).returncode == 0
    assert len(lines_of(tmp_path / "out")) == 2


def test_many_views_of_one_image_start_at_once(tmp_path):
    run("synth", "phantom:fundus?count=1&size=32", tmp_path / "out", "--views", 70)
    assert [line["view"] for line in lines_of(tmp_path / "out")] == list(range(70))


def test_a_source_of_a_billion_images_starts_at_once(tmp_path):
    output = run("synth", "phantom:fundus?count=1000000000&size=32", tmp_path / "out", "--limit", 1).output
    assert "1 pairs are in" in output


def test_a_reason_is_never_a_number_alone():
    assert making.reason(KeyError(320)) == "KeyError: 320"
    assert making.reason(ValueError("320")) == "ValueError: 320"
    assert making.reason(ValueError("its size is odd")) == "its size is odd"


def test_manifests_of_version_0_1_are_read(tmp_path):
    old = {"id": "a", "view": 0, "source": "a.png", "key": 5, "parameters": {"noise_key": 7}}
    (tmp_path / "manifest.jsonl").write_text(json.dumps(old) + "\n")
    ((_, line),) = manifest.read(tmp_path / "manifest.jsonl")
    assert (line.number, line.record(), line.files) == (5, {"noise_key": 7}, {})
