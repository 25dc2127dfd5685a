"""`degrade check`: test a noise function against Poisson-Gaussian noise; a table and a plot."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

import degrade
from degrade import figures
from degrade.settings import ends
from degrade.testing import CheckResult, check_independence, check_keyed, check_poisson_gaussian
from degrade.testing.checks import NoiseFunction, keyless
from degrade.testing.plot import plot_noise
from degrade.testing.result import scipy_stats

from .options import Refusal, check_out, save


@click.command(
    epilog="""\b
WHAT is a recipe (a name or a .toml file), or module:function, anything importable that takes an image (B, C, H, W)
in [0, 1], and keys (B,) if it wants them, and returns it noisy and not clipped.

\b
Examples:
  degrade check x-bdcnn --eta 0.4 --sigma 5
  degrade check mypackage.noise:shot_noise --eta 0.2 --sigma 0 --plot check.png
""",
)
@click.argument("what")
@click.option(
    "--eta",
    type=click.FloatRange(1e-3, 3900),
    default=0.5,
    show_default=True,
    metavar="PHOTONS",
    help="What the noise should be: photons per grey level. A recipe is set to it.",
)
@click.option(
    "--sigma",
    type=click.FloatRange(0, 255),
    default=5.0,
    show_default=True,
    metavar="GREY",
    help="And the standard deviation of its Gaussian part, grey levels of 255.",
)
@click.option("--samples", type=click.IntRange(10_000), default=200_000, show_default=True, help="Pixels at each grey.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw variance against mean, and the rest."
)
def check(what: str, eta: float, sigma: float, samples: int, plot: Path | None) -> None:
    """Checks noise against Poisson(eta g) / eta + N(0, sigma^2): moments, distribution, independence, keys.

    Each line says how often a function that is right would look like this; the exit code is 1 if one fails. Recipes
    without such noise are checked for their keys alone.
    """
    if plot is not None:
        check_out(plot)
    try:
        scipy_stats()
        if plot is not None:
            figures.new_figure(1, 1)
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from None
    function, noisy = _function(what, eta, sigma)
    with _errors(what):
        results = check_keyed(function)
        if noisy:
            results += check_independence(function)
            results += check_poisson_gaussian(function, eta, sigma, samples=samples)
    width = max(len(result.name) for result in results)
    for result in results:
        verdict = "ok    " if result.passed else "FAILED"
        click.echo(f"{verdict}  {result.name:{width}}  {result.message.removeprefix(f'{result.name}: ')}")
    failed = [result for result in results if not result.passed]
    click.echo(_summary(results, failed))
    if plot is not None and noisy:
        with _errors(what):
            figure = plot_noise(function, eta, sigma, what)
        save(plot, figures.to_pixels(figure))
        click.echo(f"picture: {plot}")
    sys.exit(1 if failed else 0)


def _summary(results: list[CheckResult], failed: list[CheckResult]) -> str:
    chance = sum(result.false_alarm_rate for result in results)
    return (
        f"{len(failed)} of {len(results)} checks failed; a function that is right fails any of them "
        f"once in {1 / chance:,.0f} runs"
        if chance
        else f"{len(failed)} of {len(results)} checks failed"
    )


def _function(what: str, eta: float, sigma: float) -> tuple[NoiseFunction, bool]:
    """The noise function that WHAT names, and whether it is Poisson-Gaussian noise and nothing else."""
    if ":" in what and not what.endswith(".toml"):
        return _imported(what), True
    try:
        recipe = degrade.recipe(what)
    except (OSError, ValueError) as error:
        raise Refusal("WHAT", str(error)) from None
    if not isinstance(recipe, degrade.models.PoissonGaussian):
        return recipe, False
    levels = ends(recipe.settings["levels"])[0]
    changed = {"eta": eta * 255 / levels, "sigma": sigma * levels / 255, "clip": False}
    return degrade.recipe(recipe.to_toml(), **changed), True


def _imported(what: str) -> NoiseFunction:
    module, _, name = what.partition(":")
    sys.path.insert(0, "")  # as python -m does: modules in the working directory can be checked
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # an imported module may raise anything
        raise Refusal("WHAT", f"cannot import {what!r}: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove("")
    if not callable(found):
        raise Refusal("WHAT", f"{what!r} is a {type(found).__name__}, not a function of an image")
    if inspect.isclass(found):
        found = found()
    function: Callable[..., Tensor] = found
    return function if _takes_keys(function) else keyless(function)


def _takes_keys(function: Callable[..., Tensor]) -> bool:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return False
    needed = [p for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(needed) >= 2 or any(p.name == "keys" for p in parameters)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    """Report an exception of the checked function as one line."""
    try:
        with torch.no_grad():
            yield
    except (TypeError, ValueError, RuntimeError, IndexError, AttributeError) as error:
        first = str(error).strip().partition("\n")[0]
        raise click.ClickException(f"{what} failed: {type(error).__name__}: {first}") from None
