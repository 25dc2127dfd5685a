"""Runs that are killed or stopped anywhere end, resumed, with the bytes of a run that was left alone."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import Tensor

from cli.enhance import main
from tests.cli_runs import files
from tests.faults.conftest import Tally
from tests.faults.pairwise import pairwise

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")

ROOT = Path(__file__).parents[2]
LONGEST = 240.0
"""Seconds after which a run counts as hanging."""
STEPS = 24
PLAIN = {"size": "none", "crop": "none", "batch_size": "2"}
NETWORKS: dict[str, tuple[list[str], dict[str, str]]] = {
    "xbdcnn": (["phantom:chest?count=6&size=64"], {"width": "8", "level_width": "8", "batch_size": "2", "crop": "32"}),
    "pcenet": (["phantom:fundus?count=6&size=64"], {"width": "4", "views": "2", **PLAIN}),
    "zhao": (
        ["phantom:fundus?count=6&size=64", "--unpaired", "phantom:fundus?count=5&size=64&seed=1"],
        {"width": "4", "blocks": "1", "d_width": "4", "pool": "3", **PLAIN},
    ),
    "magenet": (
        ["phantom:fundus?count=6&size=64", "--unpaired", "phantom:fundus?count=5&size=64&seed=1"],
        {"width": "8", "level_step": "4", "stage2_step": "4", "num_cab": "1", "rsp_width": "4",
         "unlabelled_size": "1", **PLAIN},
    ),
    "sspnet": (
        ["phantom:cornea?count=6&size=64", "--unpaired", "phantom:cornea?count=5&size=64&seed=1"],
        {"width": "4", "depths": "1,1,1,1", "decoder": "16,16,8,8,8", "d_width": "4", "d_layers": "1", **PLAIN},
    ),
}  # fmt: skip
FACTORS: dict[str, list[Any]] = {
    "signal": ["SIGKILL", "SIGTERM", "SIGUSR1", "SIGINT"],
    "group": [False, True],
    "workers": [0, 2],
    "processes": [1, 2],
}


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int | None, str]:
    """Exit status and output; None for a run that does not end. Nothing of it is left afterwards."""
    try:
        said = process.communicate(timeout=LONGEST)[0]
        return process.returncode, said
    except subprocess.TimeoutExpired:
        return None, f"hang of more than {LONGEST:g} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


# --- degrade synth

WRITERS = {"files": [], "shards": ["--writer", "shards", "--shard-size", "200000"]}


def synth(dest: Path, *more: str) -> subprocess.Popen[str]:
    source = "phantom:fundus?count=8&size=96"
    return start("cli.degrade", "synth", source, dest, "--views", 3, "--recipe", "cofe-net-paper", *more)


@pytest.mark.parametrize("writer", WRITERS)
def test_synth_killed_anywhere(writer: str, tmp_path: Path, tally: Tally, seed: int, everything: bool) -> None:
    rng = random.Random(seed)
    began = time.monotonic()
    assert end(synth(tmp_path / "whole", *WRITERS[writer]))[0] == 0
    longest = time.monotonic() - began
    expected = files(tmp_path / "whole")
    for number in range(60 if everything else 3):
        dest, name = tmp_path / f"out{number}", rng.choice(["SIGKILL", "SIGKILL", "SIGTERM", "SIGINT"])
        process = synth(dest, *WRITERS[writer])
        until = time.monotonic() + 60
        while not (dest / "recipe.toml").exists() and time.monotonic() < until and process.poll() is None:
            time.sleep(0.01)
        delay = rng.uniform(0, 0.6 * longest)
        time.sleep(delay)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, getattr(signal, name))
        _, said = end(process)
        status, again = end(synth(dest, *WRITERS[writer], "--resume"))
        problem = "" if status == 0 and files(dest) == expected else f"resumed with status {status}: {again[-500:]}"
        if "Traceback" in said:
            problem = said[-1500:]
        tally.count(f"{writer}, {name} after {delay:.2f} s, --fault-seed {seed}: {problem}" if problem else "")


# --- enhance train


def command(network: str, out: Path, row: dict[str, Any]) -> list[str]:
    arguments, settings = NETWORKS[network]
    changes = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    words = [
        "train", network, *arguments, "--out", out, "--steps", STEPS, *changes,
        "--devices", f"cpu:{row['processes']}", "--workers", row["workers"], "--hold-out", 0,
        "--save-every", 5, "--log-every", 2,
    ]  # fmt: skip
    return [str(word) for word in words]


def whole(network: str, out: Path, row: dict[str, Any], *more: str) -> tuple[int | None, str]:
    """Exit status and output of a run to its end; in this process if it is one, which need not import all again."""
    words = [*command(network, out, row), *more]
    if row["processes"] > 1:
        return end(start("cli.enhance", *words))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        result = CliRunner().invoke(main, words)
    finally:
        torch.set_num_threads(threads)
    return result.exit_code, result.output + (str(result.exception) if result.exception else "")


@cache
def uninterrupted(network: str, processes: int, folder: Path) -> dict[str, Tensor]:
    """The weights of a run that was left alone, to be compared to the bit."""
    out = folder / f"{network}_{processes}"
    status, said = whole(network, out, {"processes": processes, "workers": 0})
    assert status == 0, said
    return load_file(out / "weights.safetensors")


@pytest.mark.parametrize("network", NETWORKS)
def test_training_stopped_anywhere(network: str, tmp_path: Path, tally: Tally, seed: int, everything: bool) -> None:
    """Each pair of the other factors with one of the networks, which take turns; or all with all."""
    turns = itertools.cycle(NETWORKS)
    rows = [{"network": next(turns), **row} for row in pairwise(FACTORS, seed)]
    assert len(rows) >= len(NETWORKS)
    if everything:
        factors = {"network": list(NETWORKS), **FACTORS}
        rows = [dict(zip(factors, values, strict=True)) for values in _product(factors)]
    rng = random.Random(f"{seed} {network}")
    for number, row in enumerate(row for row in rows if row["network"] == network):
        problem = _stopped_and_resumed(network, tmp_path / f"run{number}", row, rng.randrange(1, STEPS // 2), tmp_path)
        tally.count(f"{row}, --fault-seed {seed}: {problem}" if problem else "")


def _stopped_and_resumed(network: str, out: Path, row: dict[str, Any], after: int, folder: Path) -> str:
    """What went wrong; "" if nothing did."""
    process = start("cli.enhance", *command(network, out, row))
    log = out / "log.jsonl"
    until = time.monotonic() + LONGEST
    while process.poll() is None and time.monotonic() < until:
        if log.exists() and len(log.read_bytes().splitlines()) >= after // 2:
            break
        time.sleep(0.01)
    number = getattr(signal, row["signal"])
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number) if row["group"] else os.kill(process.pid, number)
    status, said = end(process)
    survived = row["signal"] == "SIGKILL" and row["processes"] == 2  # what is left says what gloo says
    if status is None or ("Traceback" in said and not survived):
        return f"first run: {said[-1500:]}"
    status, said = whole(network, out, row, "--resume")
    if status != 0:
        return f"resumed with status {status}: {said[-1500:]}"
    got, expected = load_file(out / "weights.safetensors"), uninterrupted(network, row["processes"], folder)
    if got.keys() != expected.keys() or not all(torch.equal(got[name], expected[name]) for name in got):
        return "other weights than those of a run that was left alone"
    return ""


def _product(factors: dict[str, list[Any]]) -> list[tuple[Any, ...]]:
    import itertools

    return list(itertools.product(*factors.values()))
