"""python -m benchmarks [degrade|noise|stream|train|gpu] [--json]: tables, and what they were measured on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import torch

from benchmarks import gpu_report, report
from benchmarks.machine import machine
from benchmarks.tables import GROUPS, on_gpu, tables

SPREAD = "median (lower quartile..upper quartile) of interleaved calls"


@click.command()
@click.argument("what", nargs=-1, type=click.Choice([*GROUPS, "gpu"]))
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
@click.option(
    "--compile", "compiled", is_flag=True, help="Time the chain's gradients under compile() too: minutes of compiling."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("gpu-report"), help="Folder for the report of gpu."
)
def main(what: tuple[str, ...], as_json: bool, compiled: bool, out: Path) -> None:
    """Time WHAT (everything for the CPU if nothing is named): medians with quartiles. Trust the ratios of one run.

    gpu is for a machine with a GPU: it runs the tests that need one and fills every table, and writes one report.
    """
    if "gpu" in what:
        if not torch.cuda.is_available():
            raise click.ClickException(gpu_report.NO_GPU)
        click.echo(f"Report: {gpu_report.write(out, on_gpu(), click.echo)}")
    what = tuple(name for name in what if name != "gpu") if what else GROUPS
    if not what:
        return
    facts, results = machine(), {}
    if not as_json:
        click.echo("; ".join(f"{name} {fact}" for name, fact in facts.items()) + f"\n\n{SPREAD}")
    for name in what:
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
