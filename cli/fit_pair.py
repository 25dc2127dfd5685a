"""`degrade fit pair`: the parameters of one pair of images."""

from __future__ import annotations

import json
from pathlib import Path

import click
from torch import Tensor

from degrade import figures
from degrade.fit.pair import SIZE, PairError, PairFit, fit_pair
from degrade.fit.pair_report import plot_pair_fit
from degrade.images import image_io
from degrade.pairs.making import FAILURES, reason
from degrade.records import to_record

from . import problems
from .options import Refusal, check_out, read_recipe, save

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(
    epilog="""\b
Examples:
  degrade fit pair clean.png poor.png --report pair.png
  degrade fit pair clean.png poor.png --recipe cataract --out pair.json

Both images show the same eye or sample. A degraded frame that lies elsewhere is moved onto the clean one.
Parameters that the recipe always draws alike stay as they are; --set gives them a range, and has them fitted.
""",
)
@click.argument("clean", type=_FILE)
@click.argument("degraded", type=_FILE)
@click.option(
    "--recipe", default="cofe-net", show_default=True, metavar="NAME|FILE.toml", help="What was done, if any."
)
@click.option(
    "--type", "type_", metavar="111|random", help="Which degradations act; random: found out.  [default: the recipe's]"
)
@click.option("--set", "changes", metavar="NAME=VALUE", multiple=True, help="Change a setting of the recipe.")
@click.option("--mask", type=_FILE, metavar="FILE", help="Field of view of CLEAN.  [default: estimated, for fundus]")
@click.option("--no-align", is_flag=True, help="The frames lie on each other: do not look.")
@click.option(
    "--size", type=click.IntRange(64), default=SIZE, show_default=True, help="Side in pixels worked at, at most."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the starts.")
@click.option("--report", type=_FILE, metavar="FILE.png", help="A picture: both images, the fitted one, the residual.")
@click.option("--residual", type=_FILE, metavar="FILE.png", help="Degraded less fitted; mid-grey is 0.")
@click.option("--out", type=_FILE, metavar="FILE.json", help="The recipe's parameters, as manifests have them.")
def pair(
    clean: Path,
    degraded: Path,
    recipe: str,
    type_: str | None,
    changes: tuple[str, ...],
    mask: Path | None,
    no_align: bool,
    size: int,
    seed: int,
    report: Path | None,
    residual: Path | None,
    out: Path | None,
) -> None:
    """Finds the parameters with which a recipe makes DEGRADED of CLEAN, two images of the same."""
    _check_files(report, residual, out)
    start = read_recipe(recipe, type_, changes)
    first, second = _read("CLEAN", clean), _read("DEGRADED", degraded)
    field = None if mask is None else image_io.to_float(_read("--mask", mask)).amax(0, keepdim=True)
    try:
        found = fit_pair(first, second, start, field, size, seed, align_frames=not no_align)
    except PairError as error:
        raise click.ClickException(str(error)) from None
    _print(found)
    if report is not None:
        save(report, figures.to_pixels(plot_pair_fit(found)))
        click.echo(f"report: {report}")
    if residual is not None:
        save(residual, image_io.to_integer((0.5 + found.residual[0]).clamp(0, 1)))
        click.echo(f"residual: {residual}")
    if out is not None:
        _write(out, found)
        click.echo(f"parameters: {out}")


def _check_files(report: Path | None, residual: Path | None, out: Path | None) -> None:
    for name, path in (("--report", report), ("--residual", residual)):
        if path is None:
            continue
        try:
            check_out(path)
        except Refusal as error:
            raise Refusal(name, error.message) from None
    if out is not None and out.suffix.lower() != ".json":
        raise Refusal("--out", f"{str(out)!r}: allowed is .json")
    if report is not None:
        try:
            figures.new_figure(1, 1)
        except ModuleNotFoundError as error:
            raise click.ClickException(str(error)) from None


def _read(argument: str, path: Path) -> Tensor:
    try:
        return image_io.read(path)
    except OSError as error:
        raise Refusal(argument, problems.reason(error, path)) from None
    except FAILURES as error:
        raise Refusal(argument, f"{str(path)!r}: {reason(error)}") from None


def _write(out: Path, found: PairFit) -> None:
    record = {
        "recipe": found.recipe.name,
        "explained": round(found.explained, 6),
        "residual": round(found.grey_levels, 4),
        "parameters": to_record(found.recipe.parameter_table, found.parameters, 0),
    }
    try:
        image_io.write_bytes(out, (json.dumps(record, indent=1) + "\n").encode())
    except OSError as error:
        raise click.ClickException(f"cannot write {problems.reason(error, out)}") from None


def _print(found: PairFit) -> None:
    for warning in found.warnings:
        click.echo(f"warning: {warning}", err=True)
    lay = found.alignment
    if lay.moved:
        click.echo(
            f"the degraded frame lay {100 * lay.x:+.2f} % of the side to the right, {100 * lay.y:+.2f} % downwards, "
            f"{100 * (lay.scale - 1):+.2f} % larger"
        )
    click.echo(f"{'':20}{'value':>10}   standard error")
    for one in found.quantities:
        shown = f"{one.error:.2g}" if one.identified else "not identifiable from this pair"
        click.echo(f"{one.name:20}{one.value:10.4g}   {shown:12} {one.unit if one.identified else ''}".rstrip())
    if found.type:
        stages = [name for name, bit in (("blur", 0), ("spots", 1), ("illumination", 2)) if found.type[bit] == "1"]
        click.echo(f"type {found.type}: {', '.join(stages) or 'nothing'}; {int(found.parameters['spot_count'])} spots")
    click.echo(
        f"explained: {100 * found.explained:.2f} % of the change; "
        f"residual {found.grey_levels:.2f} of {found.change:.2f} grey levels (root mean square inside the field)"
    )
