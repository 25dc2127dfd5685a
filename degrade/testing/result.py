"""CheckResult: the result of a statistical check."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class CheckResult:
    """Result of a check; true if it passed.

    Attributes:
        name: of the check.
        statistic: its value.
        p_value: probability of a value as extreme from a correct function; 0 or 1 where no chance is involved.
        false_alarm_rate: the check fails where p_value is below this.
        passed: whether p_value is not below it.
        message: the finding in a sentence, with numbers.
    """

    name: str
    statistic: float
    p_value: float
    false_alarm_rate: float
    passed: bool
    message: str

    def __bool__(self) -> bool:
        return self.passed


def make_result(name: str, statistic: float, p: float, false_alarm_rate: float, message: str) -> CheckResult:
    """Make a result from its p-value; the message says how rare a failure is."""
    passed = p >= false_alarm_rate  # NaN has not passed
    verdict = "" if passed else f"; a function that is right does this once in {1 / max(p, 1e-300):.3g} runs"
    return CheckResult(name, statistic, p, false_alarm_rate, passed, f"{message} (p = {p:.3g}){verdict}")


def scipy_stats() -> Any:
    """Import scipy.stats, or raise an error that says what to install."""
    try:
        from scipy import stats
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("these checks need SciPy: pip install degrade-enhance[testing]") from error
    return stats
