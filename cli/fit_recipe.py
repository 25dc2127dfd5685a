"""`degrade fit fundus` and `degrade fit cornea`: a recipe from a set of good and a set of poor images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import click
from torch import Tensor

from degrade import figures
from degrade.fit.compare import Comparison
from degrade.fit.recipe import LEAST_SEARCHES, RecipeFit, fit_recipe
from degrade.fit.report import plot_recipe_fit
from degrade.fit.sets import SetError, prepare
from degrade.fit.simulate import Pictures
from degrade.images import image_io
from degrade.pairs.making import FAILURES, reason

from . import problems
from .options import Refusal, check_files, read_recipe, save
from .sources import SOURCE_HELP, open_source

Command = TypeVar("Command", bound=Callable[..., Any])

_EPILOG = f"""{SOURCE_HELP}
\b
Examples:
  degrade fit fundus good/ poor/ --recipe cofe-net-paper --out fitted.toml --report report.png
  degrade synth good/ pairs --recipe fitted.toml

Images of both sets should come from the same kind of camera: the fit takes what differs for a degradation.
"""


def _options(recipe: str) -> Callable[[Command], Command]:
    def add(command: Command) -> Command:
        for option in (
            click.option("--seed", type=int, default=0, show_default=True, help="Of everything random."),
            click.option(
                "--limit", type=click.IntRange(1), metavar="N", help="Images of a set at most.  [default: all]"
            ),
            click.option(
                "--reach",
                type=click.FloatRange(0.1, 3),
                default=1.0,
                show_default=True,
                help="How far from the recipe to look: 1 moves ranges by up to half their width and doubles them.",
            ),
            click.option(
                "--rounds",
                type=click.IntRange(1, 8),
                default=2,
                show_default=True,
                help="Of simulation and regression.",
            ),
            click.option(
                "--sets",
                type=click.IntRange(40),
                default=160,
                show_default=True,
                metavar="N",
                help="Simulated sets in the first round; half as many in each later one.",
            ),
            click.option(
                "--search",
                type=click.IntRange(0),
                default=240,
                show_default=True,
                metavar="N",
                help="Recipes that a direct search tries where no recipe makes such a set; 0: none.",
            ),
            click.option(
                "--bootstrap",
                type=click.IntRange(0),
                default=0,
                show_default=True,
                metavar="N",
                help="Searches with resampled images, for intervals of what the search finds: 10 or more; 0: none.",
            ),
            click.option("--size", type=int, default=256, show_default=True, help="Side in pixels that is worked at."),
            click.option(
                "--vary",
                metavar="NAME,NAME",
                help="Settings that are fitted.  [default: every range with two ends, and the stages' probabilities]",
            ),
            click.option(
                "--report",
                type=click.Path(dir_okay=False, path_type=Path),
                metavar="FILE.png",
                help="A picture: real, stock and fitted images, ranges before and after, what still differs.",
            ),
            click.option(
                "--out", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE.toml", help="The fitted recipe."
            ),
            click.option(
                "--recipe",
                default=recipe,
                show_default=True,
                metavar="NAME|FILE.toml",
                help="What the fit starts from.",
            ),
            click.argument("poor"),
            click.argument("good"),
        ):
            command = option(command)
        return command

    return add


@click.command(epilog=_EPILOG)
@_options("cofe-net-paper")
def fundus(**given: Any) -> None:
    """Fits a recipe's ranges to poor fundus photographs: POOR, and GOOD ones that need not show the same eyes."""
    _fit(channels=3, **given)


@click.command(epilog=_EPILOG.replace("fit fundus", "fit cornea").replace("cofe-net-paper", "cornea"))
@_options("cornea")
def cornea(**given: Any) -> None:
    """Fits a recipe's ranges to poor frames of corneal confocal microscopy, POOR, from GOOD ones."""
    _fit(channels=1, **given)


def _fit(
    good: str,
    poor: str,
    recipe: str,
    out: Path | None,
    report: Path | None,
    vary: str | None,
    size: int,
    sets: int,
    rounds: int,
    reach: float,
    search: int,
    bootstrap: int,
    limit: int | None,
    seed: int,
    channels: int,
) -> None:
    check_files(out, report, "--report")
    if size < 64 or size % 32:
        raise Refusal("--size", f"{size}: allowed are multiples of 32 from 64")
    if 0 < bootstrap < LEAST_SEARCHES:
        raise Refusal("--bootstrap", f"{bootstrap}: allowed is 0, or {LEAST_SEARCHES} and more")
    start = read_recipe(recipe)
    if start.has_field_of_view != (channels == 3) or channels not in start.channels:
        raise Refusal("--recipe", f"{recipe!r} is for other images")
    good_ones, poor_ones = (_open(text, channels, size, limit, name) for text, name in ((good, "GOOD"), (poor, "POOR")))
    settings = None if vary is None else [name.strip() for name in vary.split(",")]
    bar: Any = None

    def progress(name: str, done: int, total: int) -> None:
        nonlocal bar
        if done == 1:
            bar = click.progressbar(length=total, label=name)
            bar.__enter__()
        bar.update(1)
        if done == total:
            bar.__exit__(None, None, None)

    try:
        found = fit_recipe(
            good_ones,
            poor_ones,
            start,
            settings=settings,
            sets=sets,
            rounds=rounds,
            reach=reach,
            search=search,
            bootstrap=bootstrap,
            seed=seed,
            progress=progress,
        )
    except ValueError as error:
        raise Refusal("--vary" if str(error).startswith("settings") else "--recipe", str(error)) from None
    _print(found)
    if report is not None:
        save(report, figures.to_pixels(plot_recipe_fit(found)))
        click.echo(f"report: {report}")
    if out is not None:
        try:
            image_io.write_bytes(out, found.recipe.to_toml().encode())
        except OSError as error:
            raise click.ClickException(f"cannot write {problems.reason(error, out)}") from None
    click.echo(f"go on with: degrade synth SOURCE DEST --recipe {out or 'FILE.toml (from --out)'}")


def _open(text: str, channels: int, size: int, limit: int | None, what: str) -> Pictures:
    names: list[str] = []

    def readable() -> Iterator[Tensor]:
        for item in islice(open_source(text).items, limit):
            try:
                image = item.load()
            except FAILURES as error:
                click.echo(f"{item.source}: {reason(error)}", err=True)
                continue
            names.append(item.source)
            yield image

    try:
        pictures, warnings = prepare(readable(), channels, size, names, f"{what} images")
    except SetError as error:
        raise click.ClickException(str(error)) from None
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)
    return pictures


def _print(found: RecipeFit) -> None:
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{'':28}{'before':>10}{'fitted':>10}   90 % interval            skill")
    for n in found.numbers:
        shown = f"{n.low:10.4g} to {n.high:<10.4g}" if n.identified else f"{'not identifiable':24}"
        shown = f"{'none':24}" if math.isnan(n.low) else shown
        click.echo(f"{n.label:28}{n.before:10.4g}{n.after:10.4g}   {shown}{n.skill:6.2f}")
    good, poor = (len(pictures) for pictures in found.kept_out)
    click.echo(f"\n{poor} real against {good} degraded images, all kept out of the fit")
    for name, compared in (("start", found.before), ("fitted", found.after)):
        click.echo(
            f"{name:8}AUC {compared.auc:.2f}   energy distance {compared.energy:.3f} (p {compared.p_value:.3f})   "
            f"sliced Wasserstein {compared.wasserstein:.3f}"
        )
    click.echo(f"what differs most from the fitted recipe: {_differences(found.after)}")


def _differences(compared: Comparison) -> str:
    return "; ".join(f"{d.feature.name}: {d.words}" for d in compared.differences[:4])
