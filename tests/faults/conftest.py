"""The fault suite: all of it is slow, and it says in the end how many faults were tried, held and failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.guard import Victim

_KEY = "faults"


class Tally:
    """Counts faults; each failure has a line that says how to see it again."""

    def __init__(self) -> None:
        self.tried = 0
        self.failures: list[str] = []

    def count(self, problem: str = "") -> None:
        """One fault, which held unless there is a problem."""
        self.tried += 1
        if problem:
            self.failures.append(problem)


@pytest.fixture
def tally(request: pytest.FixtureRequest, record_property):
    """The count of a test's faults; the test fails in the end if one did not hold."""
    found = Tally()
    yield found
    record_property(_KEY, [found.tried, len(found.failures)])
    assert found.tried, "no fault was tried"
    assert not found.failures, "\n".join(found.failures[:20])


@pytest.fixture(scope="session")
def victim() -> Iterator[Victim]:
    """The process that malformed files are given to."""
    started = Victim()
    yield started
    started.close()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fault-seed"))


@pytest.fixture
def everything(request: pytest.FixtureRequest) -> bool:
    """Whether all faults are asked for."""
    return request.config.getoption("--faults") == "all"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.slow)
