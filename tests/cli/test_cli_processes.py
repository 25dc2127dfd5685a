"""`degrade synth` killed and resumed, and shared among processes: the same bytes as one run in one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli_runs import files, photograph, run

ROOT = Path(__file__).parents[2]
WRITERS = {"files": [], "shards": ["--writer", "shards", "--shard-size", str(2**17)]}


def command(*launcher: object) -> list[str]:
    return [sys.executable, *map(str, launcher)]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source")
    for seed in range(5):
        photograph(folder / f"{seed}.png", seed, size=160)
    (folder / "2x.png").write_text("no picture")
    return folder


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
@pytest.mark.parametrize("writer", ["files", pytest.param("shards", marks=pytest.mark.slow)])
@pytest.mark.slow
def test_killed_and_resumed(tmp_path, writer):
    source = "phantom:fundus?count=16&size=96"
    arguments = ["synth", source, tmp_path / "killed", "--views", "2", "--workers", "2", *WRITERS[writer]]
    process = subprocess.Popen(command("-m", "cli.degrade", *arguments), cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 240  # kernels may have to be compiled first
        part = tmp_path / "killed/manifest.part0.jsonl"
        while process.poll() is None and time.monotonic() < until:
            if part.exists() and part.stat().st_size:
                break
            time.sleep(0.002)
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "killed/manifest.jsonl").exists()
    result = run(*arguments, "--resume")
    assert "were there already" in result.output
    run("synth", source, tmp_path / "whole", "--views", "2", *WRITERS[writer])
    assert files(tmp_path / "killed") == files(tmp_path / "whole")


@pytest.mark.parametrize("writer", ["files", pytest.param("shards", marks=pytest.mark.slow)])
def test_two_processes_write_what_one_does(source, tmp_path, writer):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "cli.degrade")
    more = ["--views", "2", "--recipe", "cofe-net-paper", *WRITERS[writer]]
    arguments = ["synth", source, tmp_path / "two", *more]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    two = subprocess.run(
        command(*launcher, *arguments), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("10 pairs are in") == 1
    run("synth", source, tmp_path / "one", *more)
    assert files(tmp_path / "two") == files(tmp_path / "one")
    assert "failed.jsonl" in files(tmp_path / "one")
