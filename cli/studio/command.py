"""`degrade studio`: the command."""

from __future__ import annotations

import webbrowser

import click

from ..options import Refusal, read_recipe, read_window, recipe_options, window_option
from ..sources import SOURCE_HELP, open_source
from . import words
from .images import Images
from .server import ADDRESS, Server, Studio


@click.command(
    epilog=f"""{SOURCE_HELP}
\b
Examples:
  degrade studio
  degrade studio photograph.jpg --recipe cofe-net-paper
  degrade studio radiographs/ --recipe x-bdcnn --no-browser --port 8000
""",
)
@click.argument("source", metavar="[IMAGE]", required=False)
@recipe_options
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="The first draw.")
@window_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    metavar="N",
    help="Of the page's address.  [default: any that is free]",
)
@click.option("--browser/--no-browser", default=True, help="Open the page, or only print its address.")
def studio(
    source: str | None,
    recipe: str,
    type_: str | None,
    severity: str | None,
    changes: tuple[str, ...],
    seed: int,
    window: str | None,
    port: int,
    browser: bool,
) -> None:
    """Opens a page in the browser: what a recipe does to IMAGE (a SOURCE) or a phantom, with sliders.

    It draws again, compares by a dragged divider, shows each stage alone, and gives the recipe as TOML and as --set.
    The page is served to this machine alone and fetches nothing; files dropped on it stay here.
    """
    made_by = read_recipe(recipe, type_, changes, severity)
    items = None if source is None else open_source(source, read_window(window)).items
    start = {
        "recipe": made_by.name,
        "settings": {name: list(v) if isinstance(v, tuple) else v for name, v in words.changes(made_by).items()},
        "seed": seed,
    }
    try:
        server = Server(Studio(Images(source, items), start), port)
    except OSError as error:
        raise Refusal("--port", f"cannot listen on {ADDRESS}, port {port}: {error.strerror}") from None
    with server:
        click.echo(f"{server.url}\nCtrl+C ends it.")
        if browser:
            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("\nended", err=True)
