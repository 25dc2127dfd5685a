"""`degrade warm-up`: compile ahead of the first call."""

from __future__ import annotations

import click

import degrade

from .options import Refusal, read_recipe


@click.command("warm-up", epilog="Example, in a Dockerfile: RUN degrade warm-up --recipe cofe-net --recipe x-bdcnn")
@click.option(
    "--recipe",
    "recipes",
    multiple=True,
    metavar="NAME|FILE.toml",
    help="A recipe that will be used; may be repeated.  [default: all that 'degrade recipes' lists]",
)
def warm_up(recipes: tuple[str, ...]) -> None:
    """Compiles the loops for this machine's CPU, which otherwise the first call does: 10 to 30 seconds, once.

    They are kept in ~/.cache/degrade-enhance/kernels, or in the folder that DEGRADE_CACHE_DIR names.
    """
    chosen = [read_recipe(name) for name in recipes] or [degrade.recipe(name) for name in degrade.RECIPES]
    try:
        seconds = degrade.backend.warm_up(chosen)
    except OSError as error:
        raise Refusal("DEGRADE_CACHE_DIR", str(error)) from None
    names = ", ".join(recipe.name for recipe in chosen)
    click.echo(f"ready in {seconds:.1f} s: {names}")
