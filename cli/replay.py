"""`degrade replay`: make one degraded image again, from a manifest line, its parameters or a Cofe-Net file."""

from __future__ import annotations

from pathlib import Path

import click

from degrade.images import image_io
from degrade.pairs.errors import PairsError
from degrade.pairs.replay import load, read_mask

from .options import Refusal, check_out, read_recipe, read_window, save, window_option


@click.command(
    epilog="""\b
PARAMETERS is one of
  pairs/manifest.jsonl:ID:VIEW   a line of a data set; with - for IMAGE, its own clean image, the result is the same
                                 bit for bit
  a JSON file                    a line of a manifest, or only its parameters
  a Cofe-Net parameter file      as its authors' code and data set have them (recipe cofe-net, their 8-bit rounding)

\b
Examples:
  degrade replay pairs/manifest.jsonl:left/drive_01:0 - again.png
  degrade replay pairs/manifest.jsonl:left/drive_01:0 pairs/clean/left/drive_01.png again.png
  degrade replay 6313_left_3_11.json 6313_left.png again.png
""",
)
@click.argument("parameters")
@click.argument("image", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--mask",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An image of the field of view, white inside.  [default: the data set's own, else estimated from IMAGE]",
)
@click.option(
    "--recipe",
    metavar="NAME|FILE.toml",
    help="The recipe of the parameters.  [default: recipe.toml beside a manifest, else cofe-net]",
)
@window_option
def replay(parameters: str, image: Path, out: Path, mask: Path | None, recipe: str | None, window: str | None) -> None:
    """Make one degraded image again: degrade IMAGE with PARAMETERS, into the file OUT.

    IMAGE is a file, or - for the clean image of the data set that PARAMETERS names, files or shards.
    """
    check_out(out)
    chosen = None if recipe is None else read_recipe(recipe)
    try:
        what = load(parameters, chosen)
        clean = what.clean() if image == Path("-") else image_io.read(image, window=read_window(window))
        result = what.run(clean, what.mask(clean) if mask is None else read_mask(mask, clean))
    except PairsError as error:
        raise Refusal(error.argument, str(error)) from None
    except (ValueError, TypeError, RuntimeError) as error:  # ImageError is one
        raise click.ClickException(" ".join(str(error).split())) from None
    save(out, result)
    click.echo(str(out))
