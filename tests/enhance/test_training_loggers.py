"""Other loggers than log.jsonl: each gets the same numbers, and wrong ones are named before anything is written."""

from __future__ import annotations

import csv
import re
import sys
from typing import ClassVar

import pytest

from degrade.images import image_io
from degrade.stream import open_source
from enhance.training import curves, loggers
from enhance.training.log import read
from enhance.training.processes import RunError
from tests.training_samples import run, tiny

HELD = "phantom:chest?count=2&size=32&seed=1"


class Kept:
    """A logger as Fabric's, which keeps what it gets."""

    seen: ClassVar[list[tuple[dict[str, float], int]]] = []
    ended: ClassVar[list[str]] = []

    def __init__(self, folder):
        self.folder = folder

    def log_metrics(self, metrics, step=None):
        self.seen.append((dict(metrics), step))

    def finalize(self, status):
        self.ended.append(status)


class Mute:
    def __init__(self, folder):
        pass


def test_csv_has_the_numbers_of_the_log(tmp_path):
    run(tmp_path / "run", tiny(), logger="csv", log_every=2)
    with open(tmp_path / "run/csv/from_000000/metrics.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    logged = [line for line in read(tmp_path / "run") if "losses" in line]
    assert [int(row["step"]) for row in rows] == [line["step"] for line in logged] == [2, 4, 6]
    name = next(iter(logged[0]["losses"]))
    assert [float(row[f"loss/{name}"]) for row in rows] == pytest.approx([line["losses"][name] for line in logged])


def test_any_logger_of_fabric(tmp_path):
    Kept.seen.clear()
    run(tmp_path / "run", tiny(), open_source(HELD), logger=f"{__name__}:Kept", log_every=3)
    assert {step for metrics, step in Kept.seen if any("loss/" in name for name in metrics)} >= {3, 6}
    assert any("validation/psnr" in metrics for metrics, _ in Kept.seen)
    assert Kept.ended[-1:] == ["finished"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("wandb", "allowed is none, tensorboard, csv or module:class"),
        ("no_such_module:Logger", "No module named 'no_such_module'"),
        (f"{__name__}:Absent", "has no attribute 'Absent'"),
        (f"{__name__}:Mute", "Mute has no log_metrics"),
    ],
)
def test_wrong_loggers_are_named(tmp_path, name, message):
    with pytest.raises(RunError, match=f"logger = '{re.escape(name)}'.*{message}"):
        run(tmp_path / "run", tiny(), logger=name)


def test_the_folders_of_an_old_run_go(tmp_path):
    run(tmp_path / "run", tiny(), logger="csv")
    run(tmp_path / "run", tiny(), overwrite=True)
    assert not any((tmp_path / "run" / name).exists() for name in loggers.FOLDERS)


def test_curves_of_numbers_that_are_missing(tmp_path):
    lines = [
        {"step": 1, "losses": {"total": 1.0, "odd": -2.0}},
        {"step": 2, "losses": {"total": None, "odd": 3.0}},
        {"step": 2, "validation": {"psnr": None, "degraded_psnr": None}},
    ]
    curves.draw(lines, tmp_path / "curves.png")
    assert image_io.read(tmp_path / "curves.png").shape == (3, 560, 1400)


def test_without_matplotlib_it_is_said_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    run(tmp_path / "run", tiny(), open_source(HELD), validate_every=2, bar=True)
    assert capsys.readouterr().err.count("no curves.png: plots need Matplotlib") == 1
    assert not (tmp_path / "run/curves.png").exists()
