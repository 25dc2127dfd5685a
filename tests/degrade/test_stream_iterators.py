"""Several iterators over one stream, nested, in threads, half-used and dropped: each gives what one alone would."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import threading
import time

import pytest
import torch

import degrade
from degrade.stream import MixedStream, PairStream, StreamError, UnpairedStream, loading
from tests.stream_tables import Row, equal, rows

pytestmark = pytest.mark.filterwarnings("ignore::degrade.stream.RepeatedEpochWarning")  # on purpose here

COUNT = 16
IMAGES = degrade.images.image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, COUNT), 48)[0])


class Slow:
    """A data set that takes its time, so that several requests are under way at once."""

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        time.sleep(0.002 * (index % 3))
        return IMAGES[index]


def make(**options) -> PairStream:
    return PairStream(Slow(), "cofe-net", **{"batch_size": 2, "crop": 40, "hflip": True, "seed": 1, **options})


@pytest.fixture(scope="module")
def expected() -> dict[int, list[tuple[str, Row]]]:
    """By epoch."""
    stream, found = make(), {}
    for epoch in (0, 1):
        stream.set_epoch(epoch)
        found[epoch] = rows(stream)
    return found


def same(made, wanted) -> bool:
    return [id_ for id_, _ in made] == [id_ for id_, _ in wanted] and all(
        equal(one, other) for (_, one), (_, other) in zip(made, wanted, strict=True)
    )


KINDS = pytest.mark.parametrize(("workers", "cache_bytes"), [(0, 0), (0, 2**24), (1, 0), (2, 0), (2, 2**24)])


def check_cache(stream):
    """What is kept under an index is that image."""
    for (_, index), decoded in stream._loader._cache.items():
        assert decoded.index == index
        assert torch.equal(decoded.images["image"], IMAGES[index])


@KINDS
def test_a_pass_within_a_pass(workers, cache_bytes, expected):
    stream = make(workers=workers, cache_bytes=cache_bytes)
    for epoch in (0, 1):
        stream.set_epoch(epoch)
        outer = []
        for number, batch in enumerate(stream):
            outer += rows([batch])
            if number == 1:
                assert same(rows([next(iter(stream))]), expected[epoch][:2])
            if number == 3:
                assert same(rows(stream), expected[epoch])
        assert same(outer, expected[epoch])
        check_cache(stream)
    if cache_bytes:
        assert len(stream._loader._cache) == COUNT


@KINDS
def test_passes_side_by_side(workers, cache_bytes, expected):
    stream = make(workers=workers, cache_bytes=cache_bytes)
    made = [[], [], []]
    running = [iter(stream) for _ in made]
    for turn in range(8 * len(made)):
        made[turn % 3] += rows([next(running[turn % 3])])
    assert all(same(one, expected[0]) for one in made)
    assert all(next(one, None) is None for one in running)
    check_cache(stream)


@KINDS
def test_passes_in_threads(workers, cache_bytes, expected):
    stream = make(workers=workers, cache_bytes=cache_bytes)
    made, errors = {}, []

    def draw(number):
        try:
            made[number] = rows(stream)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=draw, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not errors
    assert all(same(made[number], expected[0]) for number in range(3))
    check_cache(stream)


@KINDS
@pytest.mark.parametrize("kept", [False, True])
def test_a_half_used_pass_disturbs_nothing(workers, cache_bytes, kept, expected):
    stream = make(workers=workers, cache_bytes=cache_bytes)
    half = iter(stream)
    first = rows([next(half), next(half)])
    if not kept:
        del half
    stream.set_epoch(1)
    assert same(rows(stream), expected[1])
    check_cache(stream)
    if kept:  # it still goes through the epoch that it began in
        assert same(first + rows(half), expected[0])
    stream.set_epoch(0)
    assert same(rows(stream), expected[0])
    check_cache(stream)


def position(stream) -> tuple[int, int]:
    state = json.loads(json.dumps(stream.state_dict()))
    return state["epoch"], state["position"][0]


@pytest.mark.parametrize("workers", [0, 2])
def test_the_state_is_that_of_the_pass_in_use(workers, expected):
    stream = make(workers=workers)
    outer = iter(stream)
    next(outer), next(outer)
    assert position(stream) == (0, 4)
    next(iter(stream))  # a callback that draws a picture
    assert position(stream) == (0, 4)
    list(stream)  # and one that looks at all
    assert position(stream) == (0, 4)
    inner = iter(stream)
    next(inner)
    assert position(stream) == (0, 2)  # both are in use: the one advanced last
    assert position(outer) == (0, 4)
    assert position(inner) == (0, 2)
    next(outer)
    assert position(stream) == (0, 6)
    inner.close()
    for who in (stream, outer):
        other = make(workers=workers)
        other.load_state_dict(who.state_dict())
        assert same(rows(other), expected[0][6:])
    rest = rows(outer)
    assert same(rest, expected[0][6:])
    assert position(stream) == position(outer) == (0, COUNT)


def test_the_state_after_leaving_a_pass_is_where_it_was_left():
    stream = make()
    for _ in stream:
        break
    gc.collect()
    assert position(stream) == (0, 2)


def test_a_pass_keeps_its_epoch_and_the_state_follows():
    stream = make()
    old = iter(stream)
    next(old)
    stream.set_epoch(1)
    assert position(stream) == (1, 0)
    next(old)
    assert position(old) == position(stream) == (0, 4)
    new = iter(stream)
    next(new)
    assert position(stream) == (1, 2)


def test_a_restored_place_is_taken_by_the_first_pass_that_is_advanced(expected):
    """Training frameworks make iterators that they never use."""
    stream = make()
    other = iter(stream)
    next(other), next(other)
    stream.load_state_dict(other.state_dict())
    unused = iter(stream)
    assert position(stream) == (0, 4)
    assert same(rows(stream), expected[0][4:])
    assert same(rows(unused), expected[0])


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("wrong", ["image", "reader", "number"])
def test_what_comes_back_is_what_was_asked_for(workers, wrong, monkeypatch):
    """A planted mix-up ends with an error that says so; it is never handed out, nor kept."""
    from degrade.stream import reading, worker

    def mixed_up(readers, request):
        found = reading.read_all(readers, request)
        if any(index == 11 for _, index in request):
            if wrong == "image":
                found = reading.read_all(readers, [(reader, (index + 1) % COUNT) for reader, index in request])
            elif wrong == "reader":
                found = reading.read_all(readers, [(1 - reader, index % 4) for reader, index in request])
            else:
                found.decoded.pop()
        return found

    monkeypatch.setattr(loading, "read_all", mixed_up)
    monkeypatch.setattr(worker, "read_all", mixed_up)
    stream = UnpairedStream(IMAGES, IMAGES[:4], batch_size=1, workers=workers, cache_bytes=2**24)
    made = []
    with pytest.raises(StreamError, match=r"asked for .*11"):
        made.extend(batch.low.ids for batch in stream)
    assert ["000011"] not in made
    for (reader, index), decoded in stream._loader._cache.items():
        assert torch.equal(decoded.images["image"], IMAGES[index]), (reader, index)
        assert (reader, index) != (0, 11)


@pytest.mark.parametrize("workers", [0, 2])
def test_mixed_streams_have_independent_passes_too(workers):
    def table(batches):
        return [(batch.labelled.ids, batch.labelled.keys.tolist(), batch.unlabelled.ids) for batch in batches]

    stream = MixedStream(
        Slow(), "cofe-net", IMAGES[:5], batch_size=3, unlabelled_size=2, workers=workers, cache_bytes=2**24
    )
    alone, outer = table(stream), []
    for batch in stream:
        outer += table([batch])
        assert table([next(iter(stream))]) == alone[:1]
    assert outer == alone


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_can_be_copied_and_pickled(workers, expected):
    stream = PairStream(IMAGES, "cofe-net", batch_size=2, crop=40, hflip=True, seed=1, workers=workers)
    running = iter(stream)
    next(running), next(running)
    for other in (copy.deepcopy(stream), pickle.loads(pickle.dumps(stream))):
        assert position(other) == (0, 4)
        other.load_state_dict(stream.state_dict())
        assert same(rows(other), expected[0][4:])
    assert same(rows(running), expected[0][4:])


def test_a_stand_in_is_told_from_a_mix_up(monkeypatch):
    from degrade.stream import reading

    class Bad(Slow):
        def __getitem__(self, index):
            if index == 11:
                raise OSError("damaged")
            return IMAGES[index]

    assert len(rows(PairStream(Bad(), "cofe-net", batch_size=2))) == COUNT
    read = reading.Reader.read

    def another(self, index):
        return read(self, (index + 1) % COUNT if index == 4 else index)

    stream = PairStream(Slow(), "cofe-net", batch_size=2, cache_bytes=2**24)
    monkeypatch.setattr(reading.Reader, "read", another)
    with pytest.raises(StreamError, match=r"got .*\(0, 4, 5\)"):
        list(stream)
