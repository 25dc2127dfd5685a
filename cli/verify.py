"""`degrade verify`: compare the files or shards of a paired data set with its manifest."""

from __future__ import annotations

from pathlib import Path

import click
from tqdm import tqdm

from degrade.pairs.errors import PairsError
from degrade.pairs.verify import verify as verify_pairs

from . import problems
from .options import Refusal

_SHOWN = 20


@click.command(
    epilog="""\b
Examples:
  degrade verify pairs
"""
)
@click.argument("dest", type=click.Path(file_okay=False, exists=True, path_type=Path))
def verify(dest: Path) -> None:
    """Compare every file of the data set in DEST, or its shards, with the sizes and checksums in its manifest.

    The exit code is 1 if a file is missing, cut short or changed, or a line cannot be read. 'degrade synth' with
    --resume makes such pairs again. Files that no line names are counted, and are no problem.
    """
    with problems.told("Nothing was changed", dest), tqdm(unit="pair", leave=False, disable=None) as bar:
        try:
            report = verify_pairs(dest, bar.update)
        except PairsError as error:
            raise Refusal(error.argument, str(error)) from None
    for problem in report.problems[:_SHOWN]:
        click.echo(problem)
    if len(report.problems) > _SHOWN:
        click.echo(f"and {len(report.problems) - _SHOWN} more")
    if report.strays:
        click.echo(f"{len(report.strays)} files that no line names: {', '.join(report.strays[:_SHOWN])}")
    if report.problems:
        raise click.ClickException(f"{len(report.problems)} problems in the {report.lines} lines of {dest}")
    click.echo(f"{dest}: all files of its {report.lines} pairs are whole")
