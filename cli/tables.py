"""Files and texts of the table of `enhance evaluate`: JSON, CSV, the sheet, tests and intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from torch import Tensor

from degrade.files import write_bytes
from degrade.images import image_io
from enhance.comparison import differences, interval
from enhance.comparison import text as comparison_text
from enhance.evaluation import DEGRADED, Case, Table

from . import sheet
from .failures import say
from .problems import told


def without_nan(values: Mapping[str, Mapping[str, list[float]]]) -> dict[str, dict[str, list[float | None]]]:
    """The numbers with None for NaN, which JSON does not have."""
    return {
        method: {metric: [None if x != x else x for x in numbers] for metric, numbers in columns.items()}
        for method, columns in values.items()
    }


def tell_tests(table: Table) -> dict[str, Any]:
    """Print intervals and tests; what --json has of them."""
    try:
        found = differences(table.values)
        intervals = {
            method: {metric: interval(numbers) for metric, numbers in columns.items()}
            for method, columns in table.values.items()
        }
    except ModuleNotFoundError as error:
        raise click.ClickException(str(error)) from None
    say("\n95 % bootstrap intervals of the means")
    for method, columns in intervals.items():
        say(f"{method}: " + "; ".join(f"{name} {low:.4g} to {high:.4g}" for name, (low, high) in columns.items()))
    say(f"\n{comparison_text(found)}")
    return {"intervals": intervals, "tests": [asdict(one) for one in found]}


def write_files(
    content: dict[str, Any],
    table: Table,
    source: str,
    rows: dict[str, list[sheet.Cell]],
    json_out: Path | None,
    csv_out: Path | None,
    sheet_out: Path | None,
) -> None:
    """Write the files that were asked for; the table has been printed."""
    go_on = "The table above is complete: give another FILE"
    if json_out is not None:
        with told(go_on, json_out):
            write_bytes(json_out, json.dumps(content, indent=1).encode())
    if csv_out is not None:
        with told(go_on, csv_out):
            write_bytes(csv_out, table.to_csv().encode())
    if sheet_out is not None and rows:
        with told(go_on, sheet_out):
            image_io.write(
                sheet_out,
                sheet.pixels(sheet.sheet(f"{source}: input and results", rows, 256)),
            )


def cells(case: Case, made: dict[str, Tensor], numbers: dict[str, dict[str, float]], before: str) -> list[sheet.Cell]:
    """The input, its reference beside it, and the results, with PSNR and SSIM under each."""

    def cell(name: str, title: str) -> sheet.Cell:
        found = numbers[name]
        note = f"{found['PSNR']:.2f} dB, SSIM {found['SSIM']:.3f}" if "PSNR" in found else ""
        return sheet.Cell("methods", title, image_io.resize(made[name], 256), note)

    reference = [] if case.reference is None else [image_io.resize(case.reference, 256)]
    cells = [cell(DEGRADED, before), *(sheet.Cell("methods", "reference", image) for image in reference)]
    return cells + [cell(name, name) for name in made if name != DEGRADED]
