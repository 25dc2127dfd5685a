"""The end of a run is estimated once, from the steps after the first."""

from __future__ import annotations

import re

import pytest

from enhance.training import outlook
from enhance.training.outlook import Outlook
from tests.training_samples import run, tiny


@pytest.fixture
def at(monkeypatch):
    """Sets the clock."""
    return lambda seconds: monkeypatch.setattr(outlook.time, "monotonic", lambda: seconds)


def test_it_is_said_after_twenty_steps(at):
    at(0.0)
    found = Outlook(10, 100_000, slow=True)
    for step in range(11, 30):
        at(500 + step / 4)  # the first step took minutes, as kernels were compiled
        assert found.line(step) is None
    at(500 + 30 / 4)
    line = found.line(30)
    assert line.startswith("0.25 s a step, the 100,000 steps end about ")
    assert "(in 6.9 hours); --preset small" in line
    assert found.line(31) is None


def test_slow_steps_do_not_wait_for_twenty(at):
    at(0.0)
    found = Outlook(0, 100, slow=True)
    at(50.0)
    assert found.line(1) is None
    at(60.0)
    assert found.line(2) is None
    at(70.0)
    line = found.line(3)
    assert line.startswith("10 s a step, ")
    assert line.endswith("(in 16 min)")  # so near that nothing smaller is advised


def test_only_on_a_cpu_a_smaller_network_is_advised(at):
    found = Outlook(0, 10**12, slow=False)
    at(0.0)
    found.line(1)
    at(9e3)
    assert re.search(r"\(in 2.9e\+08 years\)$", found.line(2))


def test_nothing_is_said_after_the_last_step(at):
    found = Outlook(0, 20, slow=True)
    for step in range(1, 21):
        at(float(step) / 10)
        assert found.line(step) is None


def test_a_run_says_it(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(outlook, "STEPS", 3)
    run(tmp_path, tiny(), bar=True)
    assert capsys.readouterr().err.count(" s a step, the 6 steps end about ") == 1
