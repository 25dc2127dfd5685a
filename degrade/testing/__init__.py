"""Statistical tests of noise and other random degradations: `pip install degrade-enhance[testing]`.

The checks take a function of (image, keys) and return a `CheckResult` with its p-value and the rate at which it
fails correct functions. `degrade.testing.strategies` has strategies for Hypothesis, `degrade.testing.plot` a plot.
"""

from degrade.testing.checks import check_independence, check_keyed, check_poisson_gaussian
from degrade.testing.functions import adapted
from degrade.testing.laws import Law, check_law, poisson_gaussian_law
from degrade.testing.recipe_checks import check_draws, check_range
from degrade.testing.result import CheckResult

__all__ = [
    "CheckResult",
    "Law",
    "adapted",
    "check_draws",
    "check_independence",
    "check_keyed",
    "check_law",
    "check_poisson_gaussian",
    "check_range",
    "poisson_gaussian_law",
]
