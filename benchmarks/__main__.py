"""python -m benchmarks [degrade|noise|stream] [--json]: tables of figures, with the machine they were measured on."""

from __future__ import annotations

import json
from typing import Any

import click

from benchmarks import degradations, noise, streams
from benchmarks.timing import machine

TABLES = {
    "degrade": {
        "Cofe-Net, type 111, batch 16, float32, per image": degradations.chain,
        "Recipes, 512 x 512, batch 8, per image": degradations.recipes,
        "degrade synth": degradations.synth,
    },
    "stream": {
        "A training step of a U-Net, 256 x 256, batch 16": streams.overhead,
        "A batch of pairs, Cofe-Net, 256 x 256": streams.shares,
        "PairStream from PNG files, 256 x 256": streams.decoding,
    },
    "noise": {"Poisson-Gaussian noise, 512 x 512 grey, batch 16, float32, per image": noise.noise},
}


@click.command()
@click.argument("what", nargs=-1, type=click.Choice(list(TABLES)))
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
def main(what: tuple[str, ...], as_json: bool) -> None:
    """Time WHAT (everything if nothing is named). Medians of interleaved calls: trust the ratios of one run."""
    results: dict[str, Any] = {"machine": machine()}
    if not as_json:
        click.echo(results["machine"])
    for name in what or TABLES:
        for title, table in TABLES[name].items():
            rows = results[title] = table()
            if not as_json:
                click.echo(f"\n{title}\n\n{_markdown(rows)}")
    if as_json:
        click.echo(json.dumps(results, indent=2))


def _markdown(rows: list[dict[str, Any]]) -> str:
    def cell(value: Any) -> str:
        if value is None:
            return "?"
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    lines = [list(rows[0]), ["---"] * len(rows[0]), *([cell(value) for value in row.values()] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
