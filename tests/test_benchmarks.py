"""The benchmarks run, say what is missing, and fit their lines; how long anything takes is nobody's business here."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import degrade
from benchmarks import (
    __main__,
    accelerator,
    chain,
    gpu_report,
    gradients,
    machine,
    noise,
    peers,
    recipes,
    report,
    scaling,
    stages,
    streams,
    tables,
    timing,
    training,
)
from benchmarks.timing import Row, Spread, measure, peak_extra_bytes, set_threads

SMALL: dict[str, tuple[Callable[[], list[Row]], int]] = {  # and the number of rows
    "chain": (partial(chain.chain, (64,), 2, (2, 1), 1), 2 * 8),
    "memory": (partial(chain.memory, (64,), 2), 2),
    "gradients": (partial(gradients.gradients, (64,), 2, 1, 1), 7),
    "accelerator": (partial(accelerator.chain, (64,), 2, 1, "cpu"), 8),
    "stages": (partial(stages.stages, 64, 2, 1), 5 + 5 + 5 + 6 * 2),
    "pixels": (partial(scaling.pixels, (64, 80, 96), 2, 1), 4),
    "batches": (partial(scaling.batches, (1, 2, 3), 64, 1), 4),
    "recipes": (partial(recipes.recipes, 64, 2, 1), len(degrade.RECIPES)),
    "synth": (partial(recipes.synth, 2, 64, 1), 1),
    "noise": (partial(noise.noise, 64, 2, (1,), 1), 5),
    "overhead": (partial(streams.overhead, 64, 2, (4, 8), 1), 1),
    "shares": (partial(streams.shares, 64, 2, 1), 4),
    "decoding": (partial(streams.decoding, 64, 2, 6, (0,)), 1),
    "training": (partial(training.training, 64, 2, 8), 5),
}


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measure hardly longer than one call: no test here asks how long anything takes."""
    monkeypatch.setattr(timing, "WARM", 0.001)
    monkeypatch.setattr(timing, "BLOCK", 0.001)


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_every_table(name: str) -> None:
    table, count = SMALL[name]
    threads = torch.get_num_threads()
    rows = table()
    assert len(rows) == count
    assert all(row.keys() == rows[0].keys() for row in rows)
    assert report.markdown(rows).count("\n") == count + 1
    assert len(json.loads(report.as_json({"rows": rows}))["rows"]) == count
    assert torch.get_num_threads() == threads


def test_the_small_runs_are_all_that_the_command_prints() -> None:
    every = [*(table for group in tables.GROUPS for table in tables.tables(group).values()), *tables.on_gpu().values()]
    named = {table.func if isinstance(table, partial) else table for table in every}
    assert named == {table.func for table, _ in SMALL.values() if isinstance(table, partial)}


@pytest.mark.slow
def test_the_report_of_a_gpu(tmp_path: Path) -> None:
    """Rehearsed on a CPU: the tests marked gpu are skipped, a table that fails is named, the others are there."""

    def broken() -> list[Row]:
        raise RuntimeError("no such kernel")

    said: list[str] = []
    some = {"noise": partial(noise.noise, 64, 2, (1,), 1), "broken": broken}
    path = gpu_report.write(tmp_path / "out", some, said.append, ["-m", "gpu", "tests/degrade/test_phantom.py"])
    text, kept = path.read_text(), json.loads(path.with_name("report.json").read_text())
    assert said == ["pytest -m gpu", "noise", "broken"]
    assert "RuntimeError: no such kernel" in text
    assert "skipped" in kept["tests"]
    assert "exit status 0" in kept["tests"]
    assert len(kept["tables"]["noise"]) == 5


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so() -> None:
    ended = CliRunner().invoke(__main__.main, ["gpu"])
    assert ended.exit_code == 1
    assert "no CUDA device" in ended.output


@pytest.mark.slow
def test_ours_is_measured_in_every_table() -> None:
    for row in chain.chain((64,), 2, (1,), 1):
        assert isinstance(row["ms"], Spread) or row["path"].startswith("per-image script")
    for row in stages.stages(64, 2, 1):
        assert isinstance(row["ms"], Spread) or row["what"] != stages.OURS


@pytest.mark.slow
def test_blur_and_colour_are_the_same_operation_everywhere() -> None:
    for row in stages.stages(96, 2, 1):
        exact = row["stage"] in ("blur", "colour") and not any(word in row["what"] for word in ("order", "8 bits"))
        if exact and row["furthest from ours, grey levels"] is not None:
            assert row["furthest from ours, grey levels"] < 0.02


@pytest.mark.slow
def test_what_is_not_installed_has_a_row_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise peers.Absent("not installed")

    monkeypatch.setattr(peers, "load", nothing)
    table = {row["what"]: row["ms"] for row in stages.stages(64, 2, 1)}
    assert table["kornia, gaussian_blur2d"] == table["albumentations, GaussianBlur"] == "not installed"
    assert isinstance(table[stages.OURS], Spread)
    absent = {row["noise"]: row for row in noise.noise(64, 2, (1,), 1)}
    assert absent[noise.DEEPINV]["ms"] == "not installed"
    assert absent["ours"]["as deepinv"] is None
    assert absent["ours"]["ours / fastest peer"] > 0
    script = {row["path"]: row for row in chain.chain((64,), 2, (1,), 1)}
    assert script[chain.SCRIPT]["ms"] == "not installed"
    assert script["default"]["times faster than script"] is None
    assert {machine.machine()[name] for name in peers.PEERS} == {"not installed"}


def test_libraries_that_fail_are_told_and_ours_are_not_hidden() -> None:
    def broken() -> peers.Call:
        raise RuntimeError("operator does not exist\nat length")

    assert peers.state("no_such_library") == "not installed"
    assert peers.ready({"theirs": peers.tried(broken)}) == ({}, {"theirs": "fails: operator does not exist"})
    with pytest.raises(RuntimeError, match="operator"):
        peers.ready({"ours": broken})


def test_the_line_reports_a_planted_deviation() -> None:
    amounts = [1.0, 2.0, 4.0, 8.0, 16.0]
    straight = [3 + 2 * amount for amount in amounts]
    assert scaling.line(amounts, straight).largest < 1e-9
    bent = [value * (1.4 if amount == 4 else 1) for amount, value in zip(amounts, straight, strict=True)]
    fit = scaling.line(amounts, bent)
    assert 0.15 < fit.largest < 0.4
    assert fit.deviations.index(fit.largest) == 2
    table = scaling.rows([(1, 1)] * 5, amounts, [Spread(ms, ms, ms) for ms in bent], "images")
    assert table[-1]["deviation, %"] == pytest.approx(100 * fit.largest)


def test_measurements_are_interleaved_and_warm(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    functions = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    clock = iter(range(10_000))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(clock)))  # every call takes a second
    monkeypatch.setattr(timing, "WARM", 1.5)
    monkeypatch.setattr(timing, "BLOCK", 2.5)
    spreads = measure(functions, 2, before=lambda name: order.append(f"before {name}"))
    turn = ["before a", *"aa", *"aaa", "before b", *"bb", *"bbb"]  # those that warm, those that count
    assert order == turn * 3
    assert spreads == dict.fromkeys("ab", Spread(1.0, 1.0, 1.0))
    monkeypatch.setattr(timing, "BLOCK", 0.5)  # everything takes long
    monkeypatch.setattr(timing, "WARM", 0.5)
    order.clear()
    measure(functions, 2, before=lambda name: order.append(f"before {name}"))
    assert order == ["before a", "a", "before b", "b"] * 3


def test_the_median_of_the_calls_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "WARM", 0.5)
    monkeypatch.setattr(timing, "BLOCK", 12.0)
    ticks = iter([0, 1, 1, 2, 2, 3, 3, 13] * 2)
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(ticks)))
    assert measure({"a": lambda: None}, 1)["a"].median == 1.0


def test_spreads() -> None:
    assert Spread.of([4.0, 1.0, 3.0, 2.0]) == Spread(2.5, 1.75, 3.25)
    assert Spread.of([2.0]) * 2 == Spread(4.0, 4.0, 4.0)


def test_memory_that_a_call_needs_is_seen() -> None:
    extra = peak_extra_bytes(lambda: torch.ones(1 << 24))
    assert extra is None or 0.9 < extra / (4 << 24) < 1.2


def test_threads_are_set_for_all() -> None:
    before = torch.get_num_threads()
    try:
        set_threads(2)
        assert torch.get_num_threads() == 2
    finally:
        set_threads(before)


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
def test_the_command(as_json: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    small = partial(noise.noise, 64, 2, (1,), 1)
    monkeypatch.setattr(__main__, "tables", lambda name, compiled: {f"Title of {name}": small})
    result = CliRunner().invoke(__main__.main, ["noise", "train", *(["--json"] if as_json else [])])
    assert result.exit_code == 0, result.output
    if as_json:
        everything = json.loads(result.stdout)
        assert {"torch", "threads", "processor", *peers.PEERS} <= everything["machine"].keys()
        assert list(everything["tables"]) == ["Title of noise", "Title of train"]
        assert everything["tables"]["Title of noise"][0]["ms"].keys() == {"median", "lower", "upper"}
        assert "quartile" in everything["spread"]
    else:
        assert "**Title of train**" in result.stdout
        assert "torch" in result.stdout.splitlines()[0]
