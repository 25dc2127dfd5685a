"""The command `degrade`."""

from __future__ import annotations

from functools import partial

import click
import torch

import degrade

from .check import check
from .fit import fit
from .options import Refusal, read_recipe
from .prepare import prepare_command
from .preview import preview
from .replay import replay
from .standard_streams import open_closed
from .studio.command import studio
from .synth import synth
from .verify import verify
from .warm_up import warm_up


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="degrade-enhance")
@click.pass_context
def main(context: click.Context) -> None:
    """Realistic bad medical images from good ones: paired data sets in which every picture can be made again.

    \b
    First steps:
      degrade synth "phantom:fundus?count=8" pairs     a small data set without any data at hand
      degrade preview photographs/ sheet.png           what a recipe does to your images
      degrade synth photographs/ pairs --views 4       the data set
    """
    open_closed()
    # sums of floats depend on the number of threads: with one, every machine and process writes the same bytes
    context.call_on_close(partial(torch.set_num_threads, torch.get_num_threads()))
    torch.set_num_threads(1)


@main.command(
    epilog="Example: degrade recipes cofe-net > mine.toml, edit it, then degrade synth ... --recipe mine.toml"
)
@click.argument("name", required=False)
@click.option("--backend", is_flag=True, help="Say instead which code would degrade images on this machine, and why.")
def recipes(name: str | None, backend: bool) -> None:
    """Lists the recipes; or prints the one called NAME as TOML, with its citation, its units and its meanings."""
    if backend:
        _say_backends([name] if name is not None else list(degrade.RECIPES))
        return
    if name is not None:
        try:
            click.echo(degrade.recipe(name).to_toml(), nl=False)
        except (OSError, ValueError) as error:
            raise Refusal("NAME", str(error)) from None
        return
    width = max(map(len, degrade.RECIPES)) + 2
    for called, preset in degrade.RECIPES.items():
        click.echo(f"{called:{width}}{preset.summary}")
        for line in preset.citation.splitlines():
            click.echo(f"{'':{width}}{line}")


def _say_backends(names: list[str]) -> None:
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for name in names:
        recipe = read_recipe(name)
        for device in devices:
            image = torch.empty(1, recipe.channels[-1], 512, 512, device=device)
            click.echo(f"{name}, images on {device}")
            for line in degrade.backend.explain(recipe, image).splitlines():
                click.echo(f"  {line}")


for command in (synth, prepare_command, verify, preview, studio, replay, fit, check, warm_up):
    main.add_command(command)

if __name__ == "__main__":
    main()
