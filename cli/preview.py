"""`degrade preview`: the command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import click

from degrade.pairs.making import FAILURES, reason

from . import sheet
from .options import check_out, read_recipe, read_window, recipe_options, save, window_option
from .sources import SOURCE_HELP, Item, Items, open_source


@click.command(
    epilog=f"""{SOURCE_HELP}
\b
Examples:
  degrade preview "phantom:fundus?count=2" sheet.png
  degrade preview photographs/ sheet.png --recipe cofe-net-paper --set brightness=0.6 --limit 2
""",
)
@click.argument("source")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@recipe_options
@click.option(
    "--views", type=click.IntRange(0), metavar="K", default=4, show_default=True, help="Views as the recipe draws them."
)
@click.option(
    "--size",
    type=click.IntRange(64),
    metavar="PIXELS",
    default=256,
    show_default=True,
    help="Side of each picture, pixels.",
)
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="Another seed, other degradations.")
@window_option
@click.option(
    "--limit", type=click.IntRange(1), metavar="N", default=4, show_default=True, help="Images (rows) at most."
)
def preview(
    source: str,
    out: Path,
    recipe: str,
    type_: str | None,
    changes: tuple[str, ...],
    severity: str | None,
    views: int,
    size: int,
    seed: int,
    window: str | None,
    limit: int,
) -> None:
    """Draws a contact sheet of what a recipe does: clean, each stage alone, all of them, and several views."""
    made_by = read_recipe(recipe, type_, changes, severity)
    check_out(out)

    def row(item: Item) -> list[sheet.Cell]:
        return sheet.row(made_by, sheet.fitted(item.load(), size), item.id, seed, views)

    rows = dict(islice(_usable(open_source(source, read_window(window)).items, row), limit))
    if not rows:
        raise click.ClickException(f"no image of {source!r} could be read")
    named = [f"{name} {value}" for name, value in (("type", type_), ("severity", severity)) if value]
    changed = "".join(f", {change}" for change in [*named, *changes])
    picture = sheet.sheet(f"{made_by.name}{changed}, seed {seed}", rows, size)
    save(out, sheet.pixels(picture))
    click.echo(f"{out}: {len(rows)} images, {picture.width} x {picture.height} pixels")


def _usable(items: Items, row: Callable[[Item], list[sheet.Cell]]) -> Iterator[tuple[str, list[sheet.Cell]]]:
    """The rows of the images that can be used, by id; of the others only what is wrong with them is said."""
    for item in items:
        try:
            cells = row(item)
        except FAILURES as error:
            click.echo(f"{item.source}: {reason(error)}", err=True)
            continue
        yield item.id, cells
