"""Streams inside a DataLoader: its workers share the epoch, make the same pictures, and start no processes."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from torch import distributed, multiprocessing
from torch.utils.data import DataLoader, IterableDataset

import degrade
from degrade.stream import MixedStream, PairStream, SourceError, StreamError, UnpairedStream, open_source
from tests.stream_tables import equal, rows

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

IMAGES = degrade.images.image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, 7), 48)[0])


def stream(**options) -> PairStream:
    return PairStream(IMAGES, "cofe-net", **{"batch_size": 2, "seed": 4, "crop": 40, "hflip": True, **options})


def same(one, other) -> bool:
    return [id_ for id_, _ in one] == [id_ for id_, _ in other] and all(
        equal(row, twin) for (_, row), (_, twin) in zip(one, other, strict=True)
    )


def loader(some, workers, context="fork", **options) -> DataLoader:
    start = {"multiprocessing_context": context} if workers else {}
    return DataLoader(some, batch_size=None, num_workers=workers, **start, **options)


@pytest.mark.parametrize(
    ("workers", "context"), [(0, "fork"), (1, "fork"), (2, "fork"), (3, "fork"), (6, "fork"),
                             pytest.param(2, "spawn", marks=pytest.mark.slow)]
)  # fmt: skip
def test_workers_give_each_batch_once_in_the_order_of_a_loop(workers, context):
    some = stream()
    for epoch in (0, 1):
        some.set_epoch(epoch)
        expected = stream()
        expected.set_epoch(epoch)
        batches = loader(some, workers, context)
        assert len(batches) == len(some) == 4
        assert same(rows(batches), rows(expected))


def test_workers_start_no_processes_of_their_own():
    """DataLoader's workers are daemons: a process started there raises."""
    assert same(rows(loader(stream(workers=2), 2)), rows(stream()))


@pytest.mark.parametrize("drop_last", [False, True])
def test_ranks_and_workers_together_have_each_sample_once(drop_last):
    expected = dict(rows(stream(drop_last=drop_last)))
    found = []
    for rank in (0, 1):
        found += rows(loader(stream(rank=rank, world_size=2, drop_last=drop_last), 2))
    if not drop_last:
        assert len(found) == len(expected) == 7
    assert {id_ for id_, _ in found} <= expected.keys()
    assert all(equal(row, expected[id_]) for id_, row in found)


def test_unpaired_and_mixed_streams():
    unpaired = UnpairedStream(IMAGES[:5], IMAGES, batch_size=2, seed=1)
    pairs = [(batch.low.ids, batch.high.ids, batch.low.image) for batch in unpaired]
    again = [(batch.low.ids, batch.high.ids, batch.low.image) for batch in loader(unpaired, 2)]
    assert [one[:2] for one in pairs] == [one[:2] for one in again]
    assert all(torch.equal(one[2], other[2]) for one, other in zip(pairs, again, strict=True))
    mixed = MixedStream(IMAGES, "cofe-net", IMAGES[:3], batch_size=2, unlabelled_size=1, seed=1, shuffle=False)
    assert [b.unlabelled.ids for b in loader(mixed, 2)] == [b.unlabelled.ids for b in mixed]


def test_a_restored_place_holds_in_workers():
    some, other = stream(), stream()
    running = iter(some)
    next(running)
    other.load_state_dict(some.state_dict())
    assert same(rows(loader(other, 2)), rows(running))


def test_a_copy_begins_where_the_original_would():
    """Processes that are not forked get a pickled stream: one that has been gone through is not at its end."""
    some = stream(shuffle=False)
    expected = rows(some)
    for twin in (pickle.loads(pickle.dumps(some)), copy.deepcopy(some)):
        assert twin.state_dict() == some.state_dict()
        assert same(rows(twin), expected)


class Asking(IterableDataset):
    """Asks a stream for its state in a worker."""

    def __init__(self, some):
        self.some = some

    def __iter__(self):
        try:
            yield str(self.some.state_dict())
        except StreamError as error:
            yield f"refused: {error}"


def test_a_worker_has_no_state():
    assert [said[:8] for said in loader(Asking(stream()), 1)] == ["refused:"]


def test_a_stream_is_a_data_set_and_no_source():
    assert isinstance(stream(), IterableDataset)
    with pytest.raises(SourceError, match="a source is"):
        open_source(stream())


def _process(rank, folder):
    """One of two processes of torch.distributed, whose DataLoader starts its worker anew, without torch.distributed."""
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    ids = [id_ for batch in loader(stream(), 1, "spawn") for id_ in batch.ids]
    (folder / f"{rank}.txt").write_text("\n".join(ids))
    distributed.destroy_process_group()


@pytest.mark.slow
def test_workers_know_the_process_that_started_them(tmp_path):
    multiprocessing.spawn(_process, (tmp_path,), nprocs=2, daemon=False)
    found = [(tmp_path / f"{rank}.txt").read_text().split() for rank in (0, 1)]
    assert all(found)
    assert sorted(found[0] + found[1]) == sorted(id_ for id_, _ in rows(stream()))
