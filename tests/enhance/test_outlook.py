"""The end of a run on a CPU is estimated once, and only where it is far away."""

from __future__ import annotations

from enhance.training import outlook
from enhance.training.outlook import Outlook, text
from tests.training_samples import run, tiny


def at(monkeypatch, seconds):
    monkeypatch.setattr(outlook.time, "monotonic", lambda: seconds)


def test_it_is_said_once(monkeypatch):
    at(monkeypatch, 100.0)
    found = Outlook(10, 100_000)
    at(monkeypatch, 110.0)
    assert found.line(15) is None  # too early to tell
    at(monkeypatch, 130.0)
    assert found.line(10) is None
    line = found.line(20)
    assert line.startswith("Training on a CPU: 3 s a step, the 100,000 steps end about ")
    assert "--preset small" in line
    assert "(in 3.5 days)" in line
    assert found.line(21) is None


def test_short_runs_say_nothing(monkeypatch):
    at(monkeypatch, 0.0)
    found = Outlook(0, 100)
    at(monkeypatch, 25.0)
    assert found.line(5) is None  # eight minutes are left
    assert "years" in text(9e3, 10**12, 9e15)


def test_a_run_says_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(outlook, "AFTER", 0.0)
    monkeypatch.setattr(outlook, "WORTH_SAYING", 0.0)
    run(tmp_path, tiny(), bar=True)
    assert capsys.readouterr().err.count("Training on a CPU: ") == 1
