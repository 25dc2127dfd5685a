"""What an epoch holds depends on neither workers nor processes, and a stream stopped anywhere goes on exactly there."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import degrade
from degrade.stream import MixedStream, PairStream, UnpairedStream
from tests.stream_tables import Row, equal, rows, same_tables

pytestmark = pytest.mark.filterwarnings("ignore::degrade.stream.RepeatedEpochWarning")  # on purpose here

IMAGES = degrade.images.image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, 19), 48)[0])


def stream(count=19, **options) -> PairStream:
    return PairStream(IMAGES[:count], "cofe-net", **{"batch_size": 4, "crop": 40, "hflip": True, "seed": 1, **options})


def on_all_ranks(world_size, **options) -> list[list[tuple[str, Row]]]:
    return [rows(stream(rank=rank, world_size=world_size, **options)) for rank in range(world_size)]


@pytest.fixture(scope="module")
def expected() -> dict[str, Row]:
    return dict(rows(stream()))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 1, 3])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_workers_and_world_sizes_give_the_same_pictures(workers, world_size, expected):
    made = [row for part in on_all_ranks(world_size, workers=workers) for row in part]
    assert len(made) == 19
    assert same_tables(dict(made), expected)


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(1, 19),
    batch_size=st.integers(1, 6),
    views=st.integers(1, 2),
    world_size=st.integers(1, 3),
    drop_last=st.booleans(),
    epoch=st.integers(0, 3),
)
def test_the_set_of_an_epoch_is_one(count, batch_size, views, world_size, drop_last, epoch):
    options = {"count": count, "batch_size": batch_size, "views": views, "drop_last": drop_last}

    def table(rank, ranks):
        some = stream(rank=rank, world_size=ranks, **options)
        some.set_epoch(epoch)
        batches = list(some)
        assert len(batches) == len(some)
        return len(batches), rows(batches)

    _, alone = table(0, 1)
    parts = [table(rank, world_size) for rank in range(world_size)]
    assert len({steps for steps, _ in parts}) == 1
    assert same_tables(dict(row for _, part in parts for row in part), dict(alone))
    assert len(alone) == (count - count % batch_size if drop_last else count)


@settings(deadline=None, max_examples=25)
@given(
    count=st.integers(1, 19),
    batch_size=st.integers(1, 6),
    views=st.integers(1, 2),
    drop_last=st.booleans(),
    stop=st.integers(0, 19),
    epoch=st.integers(0, 2),
)
def test_a_stopped_stream_goes_on(count, batch_size, views, drop_last, stop, epoch):
    options = {"count": count, "batch_size": batch_size, "views": views, "drop_last": drop_last}
    whole = stream(**options)
    whole.set_epoch(epoch)
    batches = list(whole)
    stopped = stream(**options)
    stopped.set_epoch(epoch)
    running = iter(stopped)
    first = [next(running) for _ in range(min(stop, len(batches)))]
    other = stream(**options)
    other.load_state_dict(stopped.state_dict())
    other.set_epoch(other.epoch)  # as a training loop does: keeps the place
    rest = list(other)
    assert [batch.ids for batch in [*first, *rest]] == [batch.ids for batch in batches]
    assert all(equal(one, two) for (_, one), (_, two) in zip(rows([*first, *rest]), rows(batches), strict=True))
    assert len(rows(other)) == len(rows(batches))  # and the next iteration is a whole epoch again


@pytest.mark.parametrize(("before", "after"), [(2, 0), (0, 1)])
def test_going_on_with_another_number_of_workers(before, after, expected):
    stopped = stream(workers=before)
    running = iter(stopped)
    first = [next(running), next(running)]
    other = stream(workers=after)
    other.load_state_dict(stopped.state_dict())
    rest = list(other)
    assert [id_ for id_, _ in rows([*first, *rest])] == list(expected)
    assert same_tables(dict(rows([*first, *rest])), expected)


def test_going_on_with_another_number_of_processes(expected):
    stopped = [stream(rank=rank, world_size=2) for rank in (0, 1)]
    first = [next(iter(part)) for part in stopped]
    states = [part.state_dict() for part in stopped]
    assert states[0] == states[1]
    rest = []
    for rank in range(3):
        other = stream(rank=rank, world_size=3)
        other.load_state_dict(states[0])
        rest += rows(other)
    assert len(rows(first)) + len(rest) == 19
    assert same_tables(dict([*rows(first), *rest]), expected)


def test_a_state_of_another_stream_is_refused():
    state = stream().state_dict()
    for options, name in (({"seed": 2}, "seed"), ({"batch_size": 3}, "batch_sizes"), ({"count": 9}, "samples")):
        with pytest.raises(ValueError, match=name):
            stream(**options).load_state_dict(state)


def test_leaving_an_epoch_early_does_not_disturb_the_next():
    some = stream(workers=2)
    for _ in some:
        break
    assert same_tables(dict(rows(some)), dict(rows(stream())))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_unpaired_and_mixed_epochs_do_not_depend_on_processes(world_size):
    def table(ranks):
        found = set()
        for rank in range(ranks):
            options = {"crop": 40, "rank": rank, "world_size": ranks}
            for unpaired in UnpairedStream(IMAGES[:5], IMAGES[5:], batch_size=3, **options):
                halves = (("low", unpaired.low), ("high", unpaired.high))
                found |= {
                    (name, id_, half.image[i].numpy().tobytes())
                    for name, half in halves
                    for i, id_ in enumerate(half.ids)
                }
            for mixed in MixedStream(IMAGES[:11], "cofe-net", IMAGES[11:], batch_size=3, unlabelled_size=2, **options):
                real = mixed.unlabelled
                found |= {("pair", id_, row["degraded"].numpy().tobytes()) for id_, row in rows([mixed.labelled])}
                found |= {("real", id_, real.image[i].numpy().tobytes()) for i, id_ in enumerate(real.ids)}
        return found

    assert table(world_size) == table(1)


def test_the_cache_makes_the_second_epoch_decode_nothing():
    class Counting:
        reads = 0

        def __len__(self):
            return 6

        def __getitem__(self, index):
            Counting.reads += 1
            return IMAGES[index]

    some = PairStream(Counting(), "cofe-net", batch_size=4, cache_bytes=2**20)
    plain = PairStream(IMAGES[:6], "cofe-net", batch_size=4)
    for epoch in (0, 1):
        some.set_epoch(epoch)
        plain.set_epoch(epoch)
        Counting.reads = 0
        assert same_tables(dict(rows(some)), dict(rows(plain)))
        assert Counting.reads == (6 if epoch == 0 else 0)
    small = PairStream(Counting(), "cofe-net", batch_size=4, cache_bytes=IMAGES[0].numel() * 2)
    for epoch in (0, 1):
        small.set_epoch(epoch)
        Counting.reads = 0
        list(small)
    assert Counting.reads == 4  # two of the six are kept, no more


def test_the_cache_works_with_workers():
    some = stream(workers=2, cache_bytes=2**24)
    for epoch in (0, 1, 0):
        some.set_epoch(epoch)
        plain = stream()
        plain.set_epoch(epoch)
        assert same_tables(dict(rows(some)), dict(rows(plain)))
    assert len(some._loader._cache) == 19


def test_torch_distributed_decides_by_default(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_rank", lambda: 1)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    assert [id_ for id_, _ in rows(stream())] == [id_ for id_, _ in on_all_ranks(2)[1]]
