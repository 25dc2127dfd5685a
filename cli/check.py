"""`degrade check`: test a noise function against Poisson-Gaussian noise; a table and a plot."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import click
import torch

import degrade
from degrade import figures
from degrade.settings import ends
from degrade.testing import (
    CheckResult,
    Law,
    adapted,
    check_draws,
    check_independence,
    check_keyed,
    check_law,
    check_poisson_gaussian,
    check_range,
    poisson_gaussian_law,
)
from degrade.testing.checks import NoiseFunction
from degrade.testing.functions import TAKES
from degrade.testing.plot import plot_noise
from degrade.testing.result import scipy_stats

from .options import Refusal, check_out, read_device, save


@click.command(
    epilog="""\b
WHAT is a recipe (a name or a .toml file), or module:function, anything importable that takes an image (B, C, H, W)
in [0, 1], and keys (B,) if it wants them, and returns it noisy. --takes says where it takes something else.

\b
Examples:
  degrade check x-bdcnn --eta 0.4 --sigma 5
  degrade check mypackage.noise:shot_noise --eta 0.2 --sigma 0 --plot check.png
  degrade check mypackage.noise:on_pictures --takes pil --bits 8 --no-keys --channels 1
  degrade check mypackage.noise:speckle --law mypackage.noise:speckle_law --no-keys
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
@click.option(
    "--law",
    metavar="module:object",
    help="What the noise should be instead: anything importable with mean(x), variance(x) and cdf(x, values) of a "
    "pixel x, such as a degrade.testing.Law.",
)
@click.option("--clip", is_flag=True, help="The noise is clipped to [0, 1]: compare with the clipped law.")
@click.option("--bits", type=click.Choice(["8", "16"]), help="It is rounded to so many bits too, and clipped.")
@click.option(
    "--takes",
    type=click.Choice(TAKES),
    default="tensor",
    show_default=True,
    help="What module:function takes and returns.",
)
@click.option(
    "--channels", type=click.Choice(["1", "3"]), help="Channels of the images.  [default: 3 for independence, else 1]"
)
@click.option(
    "--no-keys", is_flag=True, help="The function has random numbers of its own: leave out the checks of keys."
)
@click.option("--device", default="cpu", show_default=True, metavar="cpu|cuda|cuda:N", help="Of the tensors.")
@click.option("--samples", type=click.IntRange(10_000), default=200_000, show_default=True, help="Pixels at each grey.")
@click.option(
    "--plot", type=click.Path(dir_okay=False, path_type=Path), help="Draw variance against mean, and the rest."
)
def check(
    what: str,
    eta: float,
    sigma: float,
    law: str | None,
    clip: bool,
    bits: str | None,
    takes: Literal["tensor", "numpy", "pil"],
    channels: str | None,
    no_keys: bool,
    device: str,
    samples: int,
    plot: Path | None,
) -> None:
    """Checks noise against Poisson(eta g) / eta + N(0, sigma^2): moments, distribution, independence, keys.

    Each line says how often a function that is right would look like this; the exit code is 1 if one fails. Recipes
    without such noise are checked for the range of their results, their parameters, and their keys.
    """
    if plot is not None:
        check_out(plot)
        if clip or bits or law:
            raise click.UsageError("--plot shows noise that is not clipped, against Poisson-Gaussian noise")
    try:
        scipy_stats()
        if plot is not None:
            figures.new_figure(1, 1)
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from None
    place = read_device(device)
    expected = _law(law, eta, sigma, clip, bits)
    function, recipe = _function(what, eta, sigma, takes, no_keys, place, expected is not None and law is None)
    noisy = recipe is None or isinstance(recipe, degrade.models.PoissonGaussian)
    grey = 1 if channels is None else int(channels)
    with _errors(what):
        results = [] if no_keys else check_keyed(function, channels=grey)
        if noisy:
            results += check_independence(function, channels=3 if channels is None else grey)
            results += _distribution(function, expected, eta, sigma, grey, samples, takes)
        elif recipe is not None:
            results += check_range(recipe) + check_draws(recipe)
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


def _law(text: str | None, eta: float, sigma: float, clip: bool, bits: str | None) -> Law | None:
    """The law of --law, or the clipped one; None for noise as it is."""
    if text is None:
        if not clip and bits is None:
            return None
        return poisson_gaussian_law(eta, sigma, clip=True, bits=None if bits is None else int(bits))
    found = _imported(text, "--law")
    missing = [name for name in ("mean", "variance", "cdf") if not callable(getattr(found, name, None))]
    if missing:
        raise Refusal("--law", f"{text!r} has no function {missing[0]!r}: mean(x), variance(x) and cdf(x, values)")
    return Law(found.mean, found.variance, found.cdf, tuple(getattr(found, "support", (-1.0, 2.0))))


def _distribution(
    function: NoiseFunction, law: Law | None, eta: float, sigma: float, channels: int, samples: int, takes: str
) -> list[CheckResult]:
    if law is None:
        return check_poisson_gaussian(function, eta, sigma, channels=channels, samples=samples)
    values = tuple(level / 255 for level in (5, 26, 77, 153, 230))  # whole levels, which pictures can hold
    return check_law(function, law, values=values, channels=channels, samples=samples)


def _summary(results: list[CheckResult], failed: list[CheckResult]) -> str:
    chance = sum(result.false_alarm_rate for result in results)
    return (
        f"{len(failed)} of {len(results)} checks failed; a function that is right fails any of them "
        f"once in {1 / chance:,.0f} runs"
        if chance
        else f"{len(failed)} of {len(results)} checks failed"
    )


def _function(
    what: str,
    eta: float,
    sigma: float,
    takes: Literal["tensor", "numpy", "pil"],
    no_keys: bool,
    place: torch.device,
    clip: bool,
) -> tuple[NoiseFunction, degrade.Degradation | None]:
    """The noise function that WHAT names, and the recipe if it is one, set to the noise that is expected."""
    if ":" in what and not what.endswith(".toml"):
        found = _imported(what, "WHAT")
        if not callable(found):
            raise Refusal("WHAT", f"{what!r} is a {type(found).__name__}, not a function of an image")
        made: Any = found() if inspect.isclass(found) else found
        return adapted(made, takes, keys=not no_keys and _takes_keys(made), device=place), None
    try:
        recipe = degrade.recipe(what)
    except (OSError, ValueError) as error:
        raise Refusal("WHAT", str(error)) from None
    if isinstance(recipe, degrade.models.PoissonGaussian):
        levels = ends(recipe.settings["levels"])[0]
        changed: dict[str, Any] = {"eta": eta * 255 / levels, "sigma": sigma * levels / 255, "clip": clip}
        recipe = degrade.recipe(recipe.to_toml(), **changed)
    return adapted(recipe, device=place), recipe


def _imported(what: str, argument: str) -> Any:
    module, _, name = what.partition(":")
    sys.path.insert(0, "")  # as python -m does: modules in the working directory can be checked
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except Exception as error:  # an imported module may raise anything
        raise Refusal(argument, f"cannot import {what!r}: {type(error).__name__}: {error}") from None
    finally:
        sys.path.remove("")
    return found


def _takes_keys(function: Callable[..., Any]) -> bool:
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
    except Exception as error:  # whatever the user's function raises
        first = str(error).strip().partition("\n")[0]
        raise click.ClickException(f"{what} failed: {type(error).__name__}: {first}") from None
