"""What goes wrong is said, at once and by name; one bad image costs nothing but itself; nothing is ever written."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

import degrade
from degrade.images import image_io
from degrade.stream import PairStream, SourceError, StreamError
from tests.stream_tables import equal, rows

pytestmark = pytest.mark.filterwarnings("ignore::degrade.stream.RepeatedEpochWarning")  # on purpose here

IMAGES = image_io.to_integer(degrade.phantom.fundus(degrade.make_keys(0, 11), 48)[0])


@pytest.fixture
def folder(tmp_path):
    for number, image in enumerate(IMAGES):
        image_io.write(tmp_path / f"{number:02d}.png", image)
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_image_is_skipped_counted_and_logged_once_and_its_place_filled(workers, folder, caplog):
    good = rows(PairStream(folder, "cofe-net", batch_size=4, workers=workers))
    (folder / "05.png").write_bytes((folder / "05.png").read_bytes()[:200])
    stream = PairStream(folder, "cofe-net", batch_size=4, workers=workers)
    with caplog.at_level(logging.WARNING, "degrade.stream"):
        made = list(stream)
        list(stream)
    assert [len(batch) for batch in made] == [4, 4, 3]
    assert list(stream.failed) == ["05"]
    assert "truncated" in stream.failed["05"]
    assert [record.getMessage().split()[0] for record in caplog.records] == ["05"]
    for (id_, row), (now, found) in zip(good, rows(made), strict=True):
        if id_ == "05":
            stand_in = now
            assert equal(found, dict(good)[stand_in])
        else:
            assert now == id_
            assert equal(row, found)
    assert stand_in != "05"
    assert [batch.ids for batch in PairStream(folder, "cofe-net", batch_size=4)] == [batch.ids for batch in made]


def test_many_bad_images_have_different_stand_ins(folder):
    for number in range(5):
        (folder / f"{number:02d}.png").write_bytes(b"nothing")
    stream = PairStream(folder, "cofe-net", batch_size=11)
    (batch,) = stream
    assert len(batch) == 11
    assert len(stream.failed) == 5
    assert set(batch.ids) <= {f"{number:02d}" for number in range(5, 11)}
    assert max(batch.ids.count(id_) for id_ in batch.ids) <= 3


def test_a_source_whose_images_all_fail_says_so_at_once(tmp_path):
    for number in range(500):
        (tmp_path / f"{number}.png").write_bytes(b"nothing")
    start = time.monotonic()
    with pytest.raises(SourceError, match=r"no image of .* can be used: tried 64 of 500; '0': not an image"):
        PairStream(tmp_path, "cofe-net", batch_size=4)
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("workers", [0, 2])
def test_images_that_vanish_in_mid_epoch(workers, folder):
    stream = PairStream(folder, "cofe-net", batch_size=2, workers=workers)
    for file in folder.iterdir():
        file.unlink()
    with pytest.raises(SourceError, match="tried 11 of 11"):
        list(stream)


class Sleepy:
    """A data set whose worker can be caught at work."""

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        time.sleep(0.01)
        return IMAGES[index % 11]


def test_a_killed_worker_ends_the_epoch_with_its_cause_and_never_hangs():
    stream = PairStream(Sleepy(), "cofe-net", batch_size=2, workers=2)
    running = iter(stream)
    next(running)
    os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)
    start = time.monotonic()
    with pytest.raises((StreamError, RuntimeError), match=r"DataLoader worker|process that decodes images died"):
        for _ in running:
            pass
    assert time.monotonic() - start < 30
    batches = iter(stream)  # and it can be started again
    assert len(next(batches)) == 2


def test_a_data_set_that_raises_is_no_crash():
    class Raising(Sleepy):
        def __getitem__(self, index):
            if index % 2:
                raise KeyError("the database is asleep")
            return IMAGES[index % 11]

    stream = PairStream(Raising(), "cofe-net", batch_size=8)
    batch = next(iter(stream))
    assert len(batch) == 8
    assert all(int(id_) % 2 == 0 for id_ in batch.ids)
    assert set(stream.failed.values()) == {"KeyError: 'the database is asleep'"}


WATCHED = """
import os, sys
import degrade, torch
# what Numba has compiled it keeps beside its sources: once on a machine, and not what a stream writes
degrade.recipe("cofe-net-paper", type="111")(torch.rand(2, 3, 64, 64), degrade.make_keys(0, 2))
written, main = [], os.getpid()
def watch(event, arguments):
    if event == "open":
        path, mode, flags = arguments
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND)
    else:
        writes = event in ("os.rename", "os.mkdir", "os.link", "os.symlink", "os.truncate", "shutil.copyfile")
    # a worker opens the socket over which it hands its tensors on; multiprocessing removes it
    socket = os.getpid() != main and str(arguments[0]).startswith(os.environ["TMPDIR"])
    if writes and not socket:
        written.append((event, *map(str, arguments)))
        raise PermissionError(f"written to: {event} {arguments}")  # in a worker too, whose list is its own
sys.addaudithook(watch)
from degrade.stream import MixedStream, PairStream, UnpairedStream
folder, shard = sys.argv[1:3]
count = 0
for source in (folder, shard, "phantom:fundus?count=4&size=48"):
    workers = int(source == folder)
    for batch in PairStream(source, "cofe-net-paper", batch_size=3, views=2, size=64, crop=40, workers=workers):
        count += len(batch)
for batch in UnpairedStream(folder, folder, batch_size=4):
    count += len(batch.low)
for batch in MixedStream(folder, "cataract", folder, batch_size=4, unlabelled_size=2):
    count += len(batch.labelled)
if len(sys.argv) > 3:
    try:
        open(sys.argv[3], "w")
    except PermissionError:
        pass
print(count, written)
"""


@pytest.mark.slow
def test_nothing_is_written(folder, tmp_path_factory):
    """Every open for writing of a whole epoch is watched from within, and the folders around it from without."""
    import tarfile

    shard, here = tmp_path_factory.mktemp("shard") / "a.tar", tmp_path_factory.mktemp("here")
    with tarfile.open(shard, "w") as archive:
        archive.add(folder / "00.png", "00.png")

    def run(*extra):
        code = [sys.executable, "-B", "-c", WATCHED, str(folder), str(shard), *extra]
        environment = {**os.environ, "TMPDIR": str(here), "PYTHONPATH": os.getcwd()}
        return subprocess.run(
            code, capture_output=True, text=True, check=True, cwd=here, env=environment, timeout=120
        ).stdout

    before = sorted(path.name for path in folder.iterdir())
    assert run() == "38 []\n"
    assert sorted(path.name for path in folder.iterdir()) == before
    assert list(here.iterdir()) == []
    assert "planted" in run(str(here / "planted"))  # the watch sees what there is to see


@pytest.mark.slow
def test_memory_does_not_grow_over_two_thousand_batches():
    from pathlib import Path

    def resident() -> int:
        pages = Path("/proc/self/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    if not Path("/proc/self/statm").exists():
        pytest.skip("the memory of a process is read from /proc, which is Linux's")
    stream = PairStream(IMAGES.repeat(20, 1, 1, 1), "cofe-net", batch_size=2, size=32, cache_bytes=2**20)
    sizes, count, epoch = [], 0, 0
    while count < 2000:
        stream.set_epoch(epoch)
        for batch in stream:
            count += 1
            torch.sum(batch.degraded)
        sizes.append(resident())
        epoch += 1
    assert len(sizes) > 10
    assert max(sizes[-3:]) - sizes[2] < 8 * 2**20, sizes  # a leak of a batch's 24 KiB each would be over 40 MiB
