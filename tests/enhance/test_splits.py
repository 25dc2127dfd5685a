"""Explicit splits: by shares and by lists of ids, of new and of resumed runs."""

from __future__ import annotations

import json

import pytest

from degrade.stream import open_source
from enhance.splits import by_ids, by_shares, read_id_list, read_shares
from enhance.trainers import Sources
from tests.cli.test_cli_train import SMALL, enhance, train

TEN = "phantom:chest?count=10&size=64"
IDS = [f"chest_{number:04}" for number in range(10)]


def sources(low=False):
    return Sources(open_source(TEN), open_source(TEN.replace("10", "14")) if low else None)


def test_shares_are_disjoint_keyed_and_complete():
    parts = by_shares(sources(), (7, 2, 1))
    found = [list(part.high.ids) for part in (parts.train, parts.validate, parts.test)]
    assert [len(ids) for ids in found] == [7, 2, 1]
    assert sorted(id_ for ids in found for id_ in ids) == IDS
    again, other = (by_shares(sources(), (7, 2, 1), seed=seed).test.high.ids for seed in (0, 3))
    assert list(again) == found[2] != list(other)
    assert by_shares(sources(), (9, 0, 1)).validate is None
    assert by_shares(sources(), (8, 2, 0)).test is None


def test_patients_stay_together():
    pairs = Sources(open_source(TEN))
    parts = by_shares(pairs, (6, 2, 2), group=r"^(chest_000[0-4]|chest)")  # the last five are one group
    sides = [set(part.high.ids) for part in (parts.train, parts.validate, parts.test)]
    assert any(set(IDS[5:]) <= side for side in sides)


def test_ids():
    parts = by_ids(sources(low=True), validate=IDS[:2], test=[*IDS[2:4], "chest_0012"])
    assert list(parts.train.high.ids) == IDS[4:]
    assert len(parts.train.low.ids) == 14 - 5
    assert list(parts.test.high.ids) == IDS[2:4]
    assert list(parts.test.low.ids) == [*IDS[2:4], "chest_0012"]
    assert list(by_ids(sources(), train=IDS[:3]).train.high.ids) == IDS[:3]
    for lists, message in (
        ({"test": ["chest_0099"]}, "test: 1 ids of no image: 'chest_0099'"),
        ({"train": IDS[:3], "test": IDS[2:4]}, "test and train have 1 ids in common: 'chest_0002'"),
        ({"validate": IDS}, "train: there is nothing to train on"),
    ):
        with pytest.raises(ValueError, match=message):
            by_ids(sources(), **lists)


@pytest.mark.parametrize("text", ["7:2", "7:2:1:0", "0:2:1", "7:0:0", "a:b:c", "7:-1:2", "nan:1:1"])
def test_wrong_shares(text):
    with pytest.raises(ValueError, match="allowed are three numbers TRAIN:VALIDATE:TEST"):
        read_shares(text)


def test_a_list_of_ids(tmp_path):
    (tmp_path / "ids.txt").write_text("# those of the paper\n a \n\nb/c\n")
    assert read_id_list(tmp_path / "ids.txt") == ["a", "b/c"]


def recorded(run):
    names = ("trained_on", "held_out", "test")
    return [json.loads((run / f"{name}.json").read_text())["high"] for name in names]


def test_a_run_split_by_shares_goes_on_so(tmp_path):
    run = tmp_path / "run"
    train("xbdcnn", TEN, *SMALL, "--split", "7:2:1", "--epochs", 1, "--out", run)
    before = recorded(run)
    assert [len(ids) for ids in before] == [7, 2, 1]
    train("--resume", "--out", run, "--epochs", 2)
    assert recorded(run) == before
    said = enhance("evaluate", "identity", TEN, "--recipe", "x-bdcnn", "--held-out", run)
    assert said.startswith("1 images")  # those kept for tests
    assert "the split of a run never changes" in train("--resume", "--out", run, "--split", "8:1:1", code=2)


def test_a_run_split_by_lists(tmp_path):
    (tmp_path / "test.txt").write_text("\n".join(IDS[:3]))
    (tmp_path / "validate.txt").write_text("\n".join(IDS[3:5]))
    lists = ["--validate", tmp_path / "validate.txt", "--test", tmp_path / "test.txt"]
    train("xbdcnn", TEN, *SMALL, *lists, "--steps", 1, "--out", tmp_path / "run")
    assert recorded(tmp_path / "run") == [IDS[5:], IDS[3:5], IDS[:3]]
    refused = {
        ("--train", tmp_path / "none.txt"): "'--train': cannot read",
        ("--split", "7:2"): "'--split': '7:2': allowed are three numbers",
        ("--split", "7:2:1", *lists): "'--split': '7:2:1': --validate says the same thing",
        ("--train", tmp_path / "test.txt", *lists): "test and train have 3 ids in common",
    }
    for words, message in refused.items():
        assert message in train("xbdcnn", TEN, *SMALL, *words, "--out", tmp_path / "other", code=2)
    assert not (tmp_path / "other").exists()


def test_the_length_of_a_run_follows_from_its_images(tmp_path):
    """Five images to train on, two in a step: two steps an epoch."""
    said = train("xbdcnn", TEN, *SMALL, "--split", "5:4:1", "--set", "epochs=3", "--out", tmp_path / "run")
    assert "is trained for 6 steps" in said
    train("--resume", "--out", tmp_path / "run", "--set", "epochs=4")
    assert json.loads((tmp_path / "run/log.jsonl").read_text().splitlines()[-1])["step"] == 8
