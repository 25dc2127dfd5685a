"""Arguments of streams: NumPy's and torch's numbers, whole floats, and what is refused; batches without samples."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from degrade.stream import MixedStream, PairStream, UnpairedStream
from tests.stream_tables import rows, same_tables

SOURCE = "phantom:fundus?count=6&size=64"
ARGUMENTS = {
    "batch_size": 3, "views": 2, "size": 64, "crop": 40, "patches": 2, "seed": 5, "workers": 0, "rank": 1,
    "world_size": 2, "cache_bytes": 2**20,
}  # fmt: skip
KINDS = [np.int64, np.int32, np.uint8, np.float64, float, torch.tensor, lambda value: np.array(value)]


def fits(kind, value) -> bool:
    return not (kind is np.uint8 and value > 255)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS, ids=["int64", "int32", "uint8", "float64", "float", "tensor", "array"])
def test_every_number_may_be_numpys_or_torchs(kind):
    plain = PairStream(SOURCE, "cofe-net", **ARGUMENTS)
    given = {name: kind(value) if fits(kind, value) else value for name, value in ARGUMENTS.items()}
    stream = PairStream(SOURCE, "cofe-net", **given)
    plain.set_epoch(3)
    stream.set_epoch(kind(3))
    assert stream.epoch == 3
    assert same_tables(dict(rows(stream)), dict(rows(plain)))
    state = json.loads(json.dumps(stream.state_dict()))
    assert state == plain.state_dict()
    other = PairStream(SOURCE, "cofe-net", **ARGUMENTS)
    other.load_state_dict(
        {name: np.array(value) if isinstance(value, list) else value for name, value in state.items()}
    )
    assert other.epoch == 3
    assert list(other) == []


@pytest.mark.slow
def test_pairs_of_sizes_and_switches():
    plain = PairStream(SOURCE, "cofe-net", batch_size=3, size=(64, 80), crop=40, hflip=True, vflip=True)
    for size in (np.array([64, 80]), [64, 80], (np.int16(64), 80.0), torch.tensor([64, 80])):
        given = {"size": size, "hflip": np.bool_(True), "vflip": np.bool_(True), "shuffle": np.bool_(True)}
        stream = PairStream(SOURCE, "cofe-net", batch_size=3, crop=40, drop_last=np.bool_(False), **given)
        plain.set_epoch(0)
        assert same_tables(dict(rows(stream)), dict(rows(plain)))


@pytest.mark.slow
def test_other_streams_take_them_too():
    options = {"batch_size": np.int64(2), "size": np.int64(64), "seed": np.int64(1), "workers": np.int64(0)}
    assert len(list(UnpairedStream(SOURCE, SOURCE, **options))) == 3
    assert len(list(MixedStream(SOURCE, "cofe-net", SOURCE, unlabelled_size=np.int64(2), **options))) == 3


@pytest.mark.parametrize("name", ARGUMENTS)
@pytest.mark.parametrize("value", [2.5, "4", None, float("nan"), float("inf"), [1], np.float32(0.5), 1j])
def test_what_is_no_whole_number_is_refused_by_name(name, value):
    if value is None and name in ("size", "crop"):
        pytest.skip("None is allowed")
    with pytest.raises(ValueError, match=rf"{name} = "):
        PairStream(SOURCE, "cofe-net", **{**ARGUMENTS, name: value})


@pytest.mark.parametrize("epoch", [1.5, "1", None])
def test_an_epoch_is_a_whole_number(epoch):
    with pytest.raises(ValueError, match="epoch = "):
        PairStream(SOURCE, "cofe-net", batch_size=2).set_epoch(epoch)


@pytest.mark.parametrize(
    "change",
    [
        {"epoch": "x"}, {"epoch": None}, {"epoch": 1.5}, {"position": None}, {"position": []}, {"position": [1, 2]},
        {"position": ["x"]}, {"position": [-1]}, {"position": 3}, {"seed": "5"}, {"sources": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_damaged_state_is_refused(change):
    stream = PairStream(SOURCE, "cofe-net", batch_size=2)
    state = {**stream.state_dict(), **change}
    with pytest.raises(ValueError, match=next(iter(change))):
        stream.load_state_dict(state)
    for name in change:
        state.pop(name)
    with pytest.raises(ValueError, match=next(iter(change))):
        stream.load_state_dict(state)
    with pytest.raises(ValueError, match="a state"):
        stream.load_state_dict([state])
    assert stream.state_dict()["position"] == [0]  # as if nothing had happened


def test_batches_are_indexed_by_any_whole_number():
    batch = next(iter(PairStream(SOURCE, "cofe-net", batch_size=4)))
    for index in (np.int64(2), torch.tensor(2), np.uint8(2)):
        assert batch[index].ids == batch.ids[2:3]
        assert torch.equal(batch[index].degraded, batch.degraded[2:3])
    with pytest.raises(IndexError, match="sample 4 of a batch of 4"):
        batch[np.int64(4)]
    with pytest.raises(TypeError, match="a whole number or a slice"):
        batch["2"]
    with pytest.raises(TypeError, match="a whole number or a slice"):
        batch[[0, 1]]


@pytest.mark.parametrize("views", [1, 2])
def test_an_empty_batch_is_a_batch(views):
    batch = next(iter(PairStream(SOURCE, "cofe-net", batch_size=4, views=views)))
    none = batch[4:]
    assert len(none) == 0
    assert none.ids == []
    assert none.clean.shape == (0, 3, 64, 64)
    assert none.degraded.shape == (0, *batch.degraded.shape[1:])
    assert none.maps["vessels"].shape == (0, 1, 64, 64)
    assert len(none.to("cpu")) == len(none[:2]) == 0
    assert [tensor.shape[0] for tensor in none.tensors()] == [0] * len(list(batch.tensors()))
    with pytest.raises(IndexError, match="sample 0 of a batch of 0"):
        none[0]
