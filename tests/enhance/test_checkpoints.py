"""Checkpoints: damage of any kind is noticed, the newest whole one is used, no run with steps begins anew."""

from __future__ import annotations

import json
import logging
import random
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from enhance.checkpoints import CheckpointError, read_weights
from enhance.tensorfile import TensorFileError, pack, unpack
from enhance.training.run_checkpoints import Checkpoints
from tests.training_samples import lines, losses, run, same, tiny, weights

NEWEST, STATE = "weights.safetensors", "state_000006.pt"
BEFORE, STATE_BEFORE = "weights_000004.safetensors", "state_000004.pt"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    run(folder, tiny(steps=6), save_every=2)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What the same run is after two steps more."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder, tiny(steps=8), save_every=2)
    return folder


@pytest.fixture
def folder(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def flip(file, place, bits=0xFF):
    data = bytearray(file.read_bytes())
    data[place] ^= bits
    file.write_bytes(data)


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_last_ones_are_kept(folder):
    assert {path.name for path in folder.iterdir()} == {NEWEST, STATE, BEFORE, STATE_BEFORE, "log.jsonl"}
    assert (read_weights(folder).step, read_weights(folder / BEFORE).step) == (6, 4)


@pytest.mark.parametrize("keep", [1, 3])
def test_as_many_are_kept_as_asked_for(tmp_path, keep):
    run(tmp_path, tiny(steps=8), save_every=2, keep=keep)
    expected = [8, 6, 4][:keep]
    assert sorted(int(path.stem[6:]) for path in tmp_path.glob("state_*.pt")) == sorted(expected)
    assert sorted(int(path.stem[8:]) for path in tmp_path.glob("weights_*")) == sorted(expected[1:])
    for step in expected[1:]:
        assert read_weights(tmp_path / f"weights_{step:06d}.safetensors").step == step


def test_without_links_there_are_copies(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    run(tmp_path, tiny(steps=4), save_every=2)
    assert read_weights(tmp_path / "weights_000002.safetensors").step == 2


@pytest.mark.parametrize("name", [NEWEST, STATE])
def test_any_flipped_byte_is_noticed(folder, name):
    """In the header, the metadata, the tensors, the checksum itself: everywhere."""
    file = folder / name
    good, draw = file.read_bytes(), random.Random(0)
    everywhere = range(len(good)) if name == NEWEST else draw.sample(range(len(good)), 200)
    for place in everywhere:
        flip(file, place, draw.randint(1, 255))
        found = Checkpoints(folder).newest()
        assert found.step == 4, place
        file.write_bytes(good)
    assert Checkpoints(folder).newest().step == 6


@pytest.mark.parametrize("cut", [0, 7, 20, -100, -1])
@pytest.mark.parametrize("name", [NEWEST, STATE])
def test_a_truncated_file_is_noticed(folder, name, cut, caplog):
    data = (folder / name).read_bytes()
    (folder / name).write_bytes(data[:cut])
    assert Checkpoints(folder).newest().step == 4
    assert name in caplog.text


@pytest.mark.parametrize("harm", ["flip", "delete", "empty", "pickle"])
@pytest.mark.parametrize("name", [NEWEST, STATE])
def test_a_resume_goes_on_from_the_one_before(folder, whole, caplog, name, harm):
    if harm == "flip":
        flip(folder / name, 400)
    elif harm == "delete":
        (folder / name).unlink()
    elif harm == "empty":
        (folder / name).write_bytes(b"")
    else:
        torch.save({"step": 6, "evil": Checkpoints}, folder / name)
    with caplog.at_level(logging.WARNING, "enhance.training"):
        run(folder, tiny(steps=8), resume=True, save_every=2)
    assert "going on from the checkpoint of step 4" in caplog.text
    assert name in caplog.text
    assert same(weights(folder), weights(whole))
    assert losses(folder) == losses(whole)  # none twice
    assert [line["step"] for line in lines(folder)] == list(range(1, 9))
    assert {path.name for path in folder.glob("state*")} == {"state_000006.pt", "state_000008.pt"}


@pytest.mark.parametrize(
    "gone",
    [
        (NEWEST, BEFORE),
        (STATE, STATE_BEFORE),
        (NEWEST, BEFORE, STATE, STATE_BEFORE),
        (NEWEST, STATE_BEFORE),
    ],
)
@pytest.mark.parametrize("how", ["deleted", "damaged"])
def test_without_a_whole_one_it_is_an_error_that_changes_nothing(folder, gone, how):
    for name in gone:
        if how == "deleted":
            (folder / name).unlink()
        else:
            flip(folder / name, 300)
    before = files(folder)
    with pytest.raises(CheckpointError, match="has no checkpoint that is whole") as error:
        run(folder, tiny(steps=8), resume=True)
    assert "Nothing was changed or deleted" in str(error.value)
    named = gone if how == "damaged" else [NEWEST] if NEWEST in gone else gone
    for name in named:
        if name.startswith("weights") or NEWEST not in gone:
            assert name in str(error.value)
    assert files(folder) == before


def test_a_run_killed_before_its_first_checkpoint_begins(tmp_path, whole):
    (tmp_path / "run.toml").write_text("")
    (tmp_path / "state_000000.pt").write_bytes(b"what was written of it")
    run(tmp_path, tiny(steps=8), resume=True)
    assert same(weights(tmp_path), weights(whole))


def test_a_damaged_best_is_written_again(tmp_path, caplog):
    from degrade.stream import open_source

    held = open_source("phantom:chest?count=2&size=32&seed=1")
    run(tmp_path, tiny(steps=2), held, validate_every=1)
    flip(tmp_path / "best.safetensors", 400)
    run(tmp_path, tiny(steps=3), held, resume=True, validate_every=1)
    assert "best.safetensors' is damaged" in caplog.text
    assert read_weights(tmp_path / "best.safetensors").step == 3


def test_checkpoints_of_older_versions_are_read(folder, whole, caplog):
    """They have one checkpoint, without checksums."""
    from safetensors import safe_open

    for name in (BEFORE, STATE_BEFORE):
        (folder / name).unlink()
    with safe_open(folder / NEWEST, "pt") as opened:
        about = opened.metadata()
    for name in ("checksum", "state"):
        del about[name]
    save_file(load_file(folder / NEWEST), folder / NEWEST, about | {"format": "enhance 1"})
    run(folder, tiny(steps=8), resume=True, save_every=2)
    assert "was written without a checksum" in caplog.text
    assert same(weights(folder), weights(whole))


def test_a_missing_checksum_is_damage(folder):
    from safetensors import safe_open

    with safe_open(folder / NEWEST, "pt") as opened:
        about = opened.metadata()
    del about["checksum"]
    save_file(load_file(folder / NEWEST), folder / NEWEST, about)
    with pytest.raises(CheckpointError, match="its checksum is missing"):
        read_weights(folder)


def test_lines_that_are_none_do_not_end_a_resume(folder, whole):
    log = folder / "log.jsonl"
    good = log.read_text().splitlines()
    log.write_text("\n".join(["3", '{"no": 1}', '{"step": "x"}', "[" * 999, *good, '{"step": 9}', '{"step": 7, "lo']))
    run(folder, tiny(steps=8), resume=True, save_every=2)
    assert losses(folder) == losses(whole)


class TestTensorFile:
    def test_there_and_back(self):
        tensors = {"a": torch.rand(3, 4), "b": torch.arange(5)}
        found = unpack(pack(tensors, {"about": "zeros " + "0" * 80, "checksums": "0" * 64}))
        assert same(found.tensors, tensors)
        assert found.about == {"about": "zeros " + "0" * 80, "checksums": "0" * 64}
        assert found.checked

    @pytest.mark.parametrize(
        "data", [b"", b"text", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"{", b"\x02" + b"\0" * 7 + b"[]"]
    )
    def test_what_is_none(self, data):
        with pytest.raises(TensorFileError, match="damaged, or no safetensors file"):
            unpack(data)

    @pytest.mark.parametrize(
        "header",
        [
            {"__metadata__": 3},
            {"__metadata__": {"a": 3}},
            {"a": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 4]}},
            {"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}},
            {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}},
            {"a": 3},
        ],
    )
    def test_hostile_headers(self, header):
        text = json.dumps(header).encode()
        with pytest.raises(TensorFileError, match="damaged, or no safetensors file"):
            unpack(len(text).to_bytes(8, "little") + text + b"\0" * 4)
