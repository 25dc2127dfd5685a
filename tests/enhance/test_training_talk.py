"""What a run says of itself: one line at first, then its loss, in the bar or in a line a minute."""

from __future__ import annotations

import io
import re
import sys

import pytest
import torch

from enhance.training import log
from enhance.training.log import Log
from tests.training_samples import lines, run, tiny


class Terminal(io.StringIO):
    def isatty(self):
        return True


def opened(tmp_path, bar=True):
    return Log(tmp_path, active=True, step=0, steps=100, bar=bar)


def test_a_run_begins_with_its_size(tmp_path, capsys):
    run(tmp_path, tiny(), bar=True)
    first = capsys.readouterr().err.splitlines()[0]
    found = re.fullmatch(
        r"6 steps \((\S+) epochs of (\d+) steps\), 2 images a step, 10 parameters to train, on \d+ threads? of the CPU",
        first,
    )
    assert found, first
    assert float(found[1]) == pytest.approx(6 / int(found[2]), rel=1e-3)


def test_lines_have_the_loss_of_their_step(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(log, "IN_LINES", 0.0)
    run(tmp_path, tiny(), bar=True, log_every=1)
    said = re.findall(r"^step (\d) of 6: loss ([\d.e-]+).*; ends about ", capsys.readouterr().err, flags=re.MULTILINE)
    logged = [line for line in lines(tmp_path) if "losses" in line]
    assert [int(step) for step, _ in said] == [1, 2, 3, 4, 5, 6]
    for (_, loss), line in zip(said, logged, strict=True):
        assert float(loss) == pytest.approx(next(iter(line["losses"].values())), rel=1e-3)


def test_a_line_a_minute(tmp_path, capsys, monkeypatch):
    seconds = iter([0.0, 30.0, 59.0, 61.0, 90.0, 120.0, 122.0])
    monkeypatch.setattr(log.time, "monotonic", lambda: next(seconds))
    talk = opened(tmp_path)
    for step in range(6):
        talk.advance({"part": torch.tensor(7.0), "total": torch.tensor(step / 4)})
    talk.close()
    said = capsys.readouterr().err.splitlines()
    assert [line.partition("; ")[0] for line in said] == ["step 3 of 100: loss 0.5", "step 6 of 100: loss 1.25"]
    assert said[0].endswith("(in 33 min)")  # 97 steps of 61 / 3 s


def test_the_bar_has_the_loss(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "IN_BAR", 0.0)
    monkeypatch.setattr(sys, "stderr", Terminal())
    talk = opened(tmp_path)
    talk.advance({"generator": torch.tensor(0.125), "discriminator": torch.tensor(3.0)})
    talk.close()
    assert "loss 0.125" in sys.stderr.getvalue()
    assert "ends about" not in sys.stderr.getvalue()


def test_without_a_bar_nothing_is_said(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(log, "IN_LINES", 0.0)
    run(tmp_path, tiny(), bar=False)
    assert capsys.readouterr().err == ""
