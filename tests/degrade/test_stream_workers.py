"""The worker processes of a stream: signals to the whole group, deaths of parents and workers, ends and leftovers."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from degrade.stream import PairStream, StreamError
from tests.stream_tables import rows, same_tables

if not hasattr(os, "killpg"):
    pytest.skip("groups of processes and their signals are POSIX's", allow_module_level=True)


def slow(value, **options):
    """A value of a parameter with which a test is left out of the quick ones."""
    return pytest.param(value, marks=pytest.mark.slow, **options)


class Images:
    """A data set; from `slow_from` on it takes a minute for an image."""

    def __init__(self, slow_from=1000):
        self.slow_from = slow_from

    def __len__(self):
        return 400

    def __getitem__(self, index):
        if index >= self.slow_from:
            time.sleep(60)
        return torch.full((3, 48, 48), index % 255, dtype=torch.uint8)


def make(workers=2, **options) -> PairStream:
    images = Images(options.pop("slow_from", 1000))
    return PairStream(images, "cofe-net", **{"batch_size": 2, "shuffle": False, "workers": workers, **options})


def start(code: str, *arguments: str, **more: str) -> subprocess.Popen[str]:
    """A program in a group of its own."""
    command = [sys.executable, "-c", "from tests.degrade.test_stream_workers import *\n" + code, *arguments]
    here = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=here, env=environment, start_new_session=True
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, out, err


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is over but not asked for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(happened, seconds=30.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happened():
            return True
        time.sleep(0.05)
    return False


STEPS = """
came = []
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), lambda number, frame: came.append(number))
print("ready", flush=True)
after = 0
for batch in make():
    time.sleep(0.01)
    if came:
        after += 1
        if after == 20:
            break
for name in sys.argv[1:]:
    signal.signal(getattr(signal, name), signal.SIG_IGN)
print(len(came) > 0, after)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", *map(slow, ("SIGINT", "SIGUSR1", "SIGHUP"))])
def test_a_signal_to_the_group_is_for_the_main_process(name):
    """It finishes its step, and more if it wants to; signals come from the start of the workers on."""
    process = start(STEPS, name)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    for _ in range(100):
        if process.poll() is not None:
            break
        os.killpg(process.pid, getattr(signal, name))
        time.sleep(0.02)
    assert finish(process) == (0, "True 20\n", "")


ORPHANS = """
stream = make(slow_from=int(sys.argv[1]))
running = iter(stream)
next(running), next(running)
print(*[child.pid for child in multiprocessing.active_children()], flush=True)
sys.stdin.readline()
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc, which is Linux's")
@pytest.mark.parametrize("slow_from", [1000, 4], ids=["idle", "busy"])
@pytest.mark.parametrize("how", [signal.SIGKILL, slow(signal.SIGTERM)])
def test_workers_end_with_their_parent(slow_from, how, tmp_path):
    process = start(ORPHANS, str(slow_from), TMPDIR=str(tmp_path))
    assert process.stdout is not None
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(is_alive, pids))
    process.send_signal(how)
    assert process.wait(30) == -how
    try:
        assert wait_until(lambda: not any(map(is_alive, pids)))
        assert list(tmp_path.iterdir()) == []
    finally:
        finish(process)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are looked up in /proc, which is Linux's")
@pytest.mark.parametrize(
    ("slow_from", "end"),
    [
        pytest.param(4, "", id="busy"),
        pytest.param(1000, "", id="idle", marks=pytest.mark.slow),
        pytest.param(1000, "del running, stream", id="idle, dropped", marks=pytest.mark.slow),
        pytest.param(4, "raise SystemExit(0)", id="busy, exit", marks=pytest.mark.slow),
        pytest.param(4, "del running", id="busy, dropped", marks=pytest.mark.slow),
    ],
)
def test_a_program_that_ends_leaves_nothing_and_says_nothing(slow_from, end, tmp_path):
    process = start(ORPHANS.replace("sys.stdin.readline()", end), str(slow_from), TMPDIR=str(tmp_path))
    begin = time.monotonic()
    code, out, err = finish(process)
    assert (code, err) == (0, "")
    assert time.monotonic() - begin < 45  # not the minute of the image that is under way
    assert not any(is_alive(int(pid)) for pid in out.split())
    assert list(tmp_path.iterdir()) == []


def test_dropping_a_stream_does_not_wait_for_what_is_under_way():
    stream = make(slow_from=4)
    running = iter(stream)
    next(running), next(running)
    children = multiprocessing.active_children()
    assert len(children) >= 2
    begin = time.monotonic()
    del running, stream
    assert time.monotonic() - begin < 4  # it was five seconds for each worker
    assert not any(child.is_alive() for child in children)


CYCLE = """
import gc
class Collecting(Images):
    def __getitem__(self, index):
        if index == 3:
            gc.collect()
        return super().__getitem__(index)
gc.disable()
stream = make(workers=1)
cycle = [stream, iter(stream)]
next(cycle[1])
cycle.append(cycle)
del stream, cycle
print(sum(len(batch) for batch in PairStream(Collecting(), "cofe-net", batch_size=2, workers=1)))
"""


@pytest.mark.slow
def test_a_worker_leaves_the_other_streams_of_its_parent_alone():
    """Another stream, dropped but not yet collected, is collected in the worker: that end is none of its business."""
    assert finish(start(CYCLE)) == (0, "400\n", "")


def test_a_dead_worker_is_an_error_of_who_waits_for_it_and_never_in_the_middle_of_a_step():
    stream = make(batch_size=40)
    running = iter(stream)
    next(running)
    (victim, *_) = multiprocessing.active_children()
    os.kill(victim.pid, signal.SIGKILL)
    end = time.monotonic() + 1
    while time.monotonic() < end:  # a step; a handler of SIGCHLD would raise in it
        sum(range(1000))
    with pytest.raises(StreamError, match="killed by SIGKILL"):
        list(running)
    with pytest.raises(StopIteration):
        next(running)
    assert same_tables(dict(rows(stream)), dict(rows(make(workers=0, batch_size=40))))  # and it starts again


def test_all_passes_learn_of_a_death():
    stream = make()
    one, other = iter(stream), iter(stream)
    next(one), next(other)
    for child in multiprocessing.active_children():
        child.kill()
    for running in (one, other):
        with pytest.raises(StreamError, match="process that decodes images died"):
            list(running)


DESCRIPTORS = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
stream = make(batch_size=50, cache_bytes=2**24)
for _ in range(3):
    batches = [batch for batch in stream]
print(sum(len(batch) for batch in batches), len(os.listdir("/proc/self/fd")) < 40)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="open files are counted in /proc, which is Linux's")
def test_a_batch_costs_one_file_descriptor_whatever_its_size():
    code, out, err = finish(start(DESCRIPTORS))
    assert (code, out) == (0, "400 True\n"), err


METHODS = """
if __name__ == "__main__":
    torch.multiprocessing.set_start_method(sys.argv[1])
    made = dict(rows(make(workers=2, batch_size=50)))
    print(len(made), same_tables(made, dict(rows(make(workers=0, batch_size=50)))))
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
@pytest.mark.slow
def test_every_way_of_starting_processes_serves(method, tmp_path):
    """Those that begin anew take the stream's sources along."""
    file = tmp_path / "program.py"
    file.write_text("from tests.degrade.test_stream_workers import *\n" + METHODS)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, str(file), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    assert (done.returncode, done.stdout) == (0, "400 True\n"), done.stderr


def test_a_failure_that_no_image_explains_is_told(monkeypatch):
    from degrade.stream import worker

    def broken(readers, request):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(worker, "read_all", broken)
    with pytest.raises(StreamError, match="ZeroDivisionError: planted"):
        list(make())
