"""The command `enhance`."""

from __future__ import annotations

import click

from enhance.networks import NETWORKS
from enhance.networks.summary import facts

from .apply import apply
from .benchmark import benchmark
from .evaluate import evaluate_
from .export import export
from .segment import segment
from .segmenter import segmenter
from .standard_streams import open_closed
from .train import train_command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="degrade-enhance")
def main() -> None:
    """Networks that undo what degrades medical images: five published ones, by name.

    \b
    First steps:
      enhance networks        what there is, and what it costs
      enhance train --help    how to train one
    """
    open_closed()


@main.command(epilog="GFLOP: of one pass over one image of the given size, two per multiplication and addition.")
def networks() -> None:
    """Lists the networks: parameters, work, what goes in, and the paper of each."""
    row = "{:10}{:>12}{:>9}  {:14}{}"
    click.echo(row.format("name", "parameters", "GFLOP", "image", "range inside"))
    for name in NETWORKS:
        about = facts(name)
        image = f"{about.channels} x {about.size} x {about.size}"
        low, high = about.value_range
        click.echo(row.format(name, f"{about.parameters:,}", f"{about.gflop:.1f}", image, f"[{low:g}, {high:g}]"))
        click.echo(f"{'':10}{about.paper}")


main.add_command(train_command)
main.add_command(apply)
main.add_command(benchmark)
main.add_command(evaluate_)
main.add_command(export)
main.add_command(segment)
main.add_command(segmenter)

if __name__ == "__main__":
    main()
