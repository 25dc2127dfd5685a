"""Compiled kernels on disk: damaged, unwritable, shared, and whose folder they may lie in."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs Numba")
from degrade.jit import cache
from degrade.jit import compiler as jit


def twice(values):
    for index in range(len(values)):
        values[index] *= 2


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("DEGRADE_CACHE_DIR", str(tmp_path / "cache"))
    cache._warn.cache_clear()
    return tmp_path / "cache"


def call():
    """The function compiled anew, as another process would have it; whether it came from disk."""
    kernel = jit.kernel(twice)
    values = np.arange(3.0)
    kernel(values)
    assert values.tolist() == [0, 2, 4]
    return sum(kernel.stats.cache_hits.values()) > 0 or kernel.stats.cache_misses == {}


def kernels(root):
    return sorted(root.rglob("*.kernel"))


def hits(root):
    before = {path: path.stat().st_mtime_ns for path in kernels(root)}
    call()
    return before == {path: path.stat().st_mtime_ns for path in kernels(root)}


def test_a_second_process_finds_it(root):
    call()
    assert len(kernels(root)) == 1
    assert hits(root)
    assert (kernels(root)[0].parent.stat().st_mode & 0o777) == 0o700


@pytest.mark.parametrize("damage", ["empty", "cut", "flip", "other"])
def test_a_damaged_file_is_dropped_with_one_warning_and_made_again(root, damage, caplog):
    call()
    (path,) = kernels(root)
    data = path.read_bytes()
    wrong = {"empty": b"", "cut": data[: len(data) // 2], "other": b"no kernel" * 100}
    flipped = bytearray(data)
    flipped[len(data) // 2] ^= 1
    path.write_bytes(wrong.get(damage, bytes(flipped)))
    with caplog.at_level(logging.WARNING, logger="degrade"):
        call()
    assert [record.message for record in caplog.records if "cannot be used (damaged)" in record.message]
    assert len(caplog.records) == 1
    assert len(path.read_bytes()) > len(data) // 2
    assert hits(root)


def test_a_place_that_cannot_be_written_is_done_without(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DEGRADE_CACHE_DIR", str(tmp_path / "file/cache"))
    cache._warn.cache_clear()
    with caplog.at_level(logging.WARNING, logger="degrade"):
        call()
        call()
    assert len(caplog.records) == 1
    assert "DEGRADE_CACHE_DIR names another folder" in caplog.records[0].message


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_folder_that_others_can_write_to_is_not_used(root, caplog):
    call()
    (path,) = kernels(root)
    path.parent.chmod(0o777)
    with caplog.at_level(logging.WARNING, logger="degrade"):
        call()
    assert "others can write to it" in caplog.text


def test_kernels_of_other_sources_are_other_files_and_go_when_unused(root, monkeypatch):
    call()
    (old,) = kernels(root)
    os.utime(old.parent, (0, 0))
    monkeypatch.setattr(cache, "sources_digest", lambda: "0123456789abcdef")
    call()
    (new,) = kernels(root)
    assert new.parent.name == "0123456789abcdef"


@pytest.mark.slow
def test_a_full_disk_and_a_damaged_file_end_no_command(tmp_path):
    source = "phantom:chest?count=1&size=64"
    command = [sys.executable, "-m", "cli.degrade", "synth", source, "--recipe", "x-bdcnn", tmp_path / "a"]
    environment = os.environ | {"DEGRADE_CACHE_DIR": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    subprocess.run(command, env=environment, check=True, capture_output=True)
    for path in kernels(tmp_path / "cache"):
        path.write_bytes(b"")
    command[-1] = tmp_path / "b"
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "1 pairs are in" in done.stdout
