"""python -m benchmarks [degrade|noise|stream|train] [--json]: tables of figures, and what they were measured on."""

from __future__ import annotations

from typing import Any

import click

from benchmarks import report
from benchmarks.machine import machine
from benchmarks.tables import GROUPS, tables

SPREAD = "median (lower quartile..upper quartile) of interleaved calls"


@click.command()
@click.argument("what", nargs=-1, type=click.Choice(GROUPS))
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option(
    "--compile", "compiled", is_flag=True, help="Time the chain's gradients under compile() too: minutes of compiling."
)
def main(what: tuple[str, ...], as_json: bool, compiled: bool) -> None:
    """Time WHAT (everything if nothing is named): medians with quartiles. Trust the ratios of one run."""
    facts, results = machine(), {}
    if not as_json:
        click.echo("; ".join(f"{name} {fact}" for name, fact in facts.items()) + f"\n\n{SPREAD}")
    for name in what or GROUPS:
        for title, table in tables(name, compiled).items():
            if as_json:
                click.echo(title, err=True)  # so that minutes do not pass in silence
            results[title] = table()
            if not as_json:
                click.echo(f"\n**{title}**\n\n{report.markdown(results[title])}")
    if as_json:
        everything: dict[str, Any] = {"machine": facts, "spread": SPREAD, "tables": results}
        click.echo(report.as_json(everything))


if __name__ == "__main__":
    main()
