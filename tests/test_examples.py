"""The examples run as they stand, and learn."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(*command: str) -> str:
    """What a command prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_first_example_is_short_and_learns() -> None:
    file = EXAMPLES / "train.py"
    assert len(file.read_text().splitlines()) < 40
    losses = [float(loss) for loss in re.findall(r"loss ([0-9.]+)", run(sys.executable, str(file)))]
    assert len(losses) == 8
    assert sum(losses[-2:]) < 0.9 * sum(losses[:2])


@pytest.mark.slow
def test_a_published_network_in_a_loop_of_ones_own() -> None:
    printed = run(sys.executable, str(EXAMPLES / "own_loop.py"))
    psnrs = [(float(before), float(after)) for before, after in re.findall(r"PSNR (\S+) -> (\S+) dB", printed)]
    assert len(psnrs) == 16
    assert len({before for before, _ in psnrs}) == 1  # the test images are the same every time
    assert psnrs[-1][1] > psnrs[-1][0] + 1


@pytest.mark.slow
def test_two_processes_stay_together() -> None:
    printed = run(
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        str(EXAMPLES / "train_distributed.py"),
    )  # fmt: skip
    # two processes write to one pipe: a line's end may come after the next line's beginning
    found = sorted(re.findall(r"epoch (\d), process (\d): (\d) batches, weights (-?\d+\.\d{6})", printed))
    assert [entry[:3] for entry in found] == [("0", "0", "2"), ("0", "1", "2"), ("1", "0", "2"), ("1", "1", "2")]
    assert found[0][3] == found[1][3]
    assert found[2][3] == found[3][3] != found[0][3]
