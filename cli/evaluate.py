"""`enhance evaluate`: a table of all metrics that apply, and a sheet of pictures."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import click
from torch import Tensor
from tqdm import tqdm

from degrade import stream
from degrade.pairs.existing import are_pairs
from degrade.severity import LEVELS
from enhance.evaluation import (
    Case,
    Measures,
    cropped_cases,
    evaluate,
    field_of_view,
    graded_cases,
    paired_cases,
    real_cases,
    synthetic_cases,
)
from enhance.inference import Enhancer
from enhance.probing import first_usable
from enhance.results import Results

from . import report, sheet
from .failures import Failures, say
from .mapping import STRUCTURE_HELP, map_options, open_structures
from .measuring import compared_with, open_images, read_finder, read_grader, read_niqe_model, read_protocol
from .methods import METHOD_HELP, RESULTS_HELP, open_row, read_held_out, title
from .options import Refusal, check_out, read_device, read_recipe, severity_option
from .problems import told
from .running_size import running_sizes
from .segment import SEGMENTER_HELP
from .sources import PAIRS_HELP, SOURCE_HELP
from .tables import cells, tell_tests, without_nan, write_files
from .writable import check_writable


@click.command("evaluate", epilog=f"{METHOD_HELP}{RESULTS_HELP}\n{SOURCE_HELP}\n{PAIRS_HELP}")
@click.argument("methods", metavar="METHOD...", nargs=-1, required=True)
@click.argument("source")
@click.option("--recipe", metavar="NAME|FILE.toml", help="SOURCE has good images: degrade them, and compare with them.")
@click.option(
    "--set",
    "changes",
    metavar="NAME=VALUE",
    multiple=True,
    help="Change a setting of --recipe, such as eta=0.4 or type=111; may be repeated.",
)
@click.option(
    "--reference", metavar="DIR", help="SOURCE has bad images: compare with good ones of the same names in DIR."
)
@map_options("layout", "masks", "vessels", "discs", "labels", "keep")
@click.option("--structure", metavar="NAME,...", help=f"{STRUCTURE_HELP} Several for a segmenter of several.")
@click.option(
    "--segmenter",
    metavar="FILE|module:function",
    help=f"{SEGMENTER_HELP} Adds IoU, Dice, AUC, Acc, Sen, Spe, FDR, G-mean and kappa.",
)
@click.option(
    "--against",
    type=click.Choice(["truth", "reference"]),
    help="What segmentations are compared with: the masks of --vessels and the like, or the segmentation of the good "
    "image (PCE-Net's protocol).  [default: truth where there are masks]",
)
@click.option(
    "--grader",
    metavar="FILE.pt2|module:function",
    help="A quality grader, of images (B, C, H, W) to scores (B, 3) of good, usable, reject: adds FIQA and WFQA.",
)
@click.option(
    "--niqe",
    "niqe_of",
    metavar="DIR|FILE",
    help="Adds NIQE: good images to fit its model to, a model that was saved (.niqe, .npz), or the authors' (.mat).",
)
@click.option(
    "--protocol",
    metavar="own|paper|NETWORK",
    default="own",
    show_default=True,
    help="How to measure: own, within the field of view; paper, as the paper of METHOD's network does it: its size, "
    "its window of SSIM, the whole frame; or the name of a network.",
)
@click.option(
    "--size", type=click.IntRange(32, 65_536), metavar="PIXELS", help="Fit all images into squares of this side."
)
@click.option("--full-size", is_flag=True, help="Run networks at the images' own size, not at that of their training.")
@click.option("--crop", type=click.IntRange(32), metavar="PIXELS", help="Measure the middle square of this side alone.")
@click.option(
    "--prepare",
    type=click.Choice(["none", "fov"]),
    default="none",
    show_default=True,
    help="fov: crop photographs to the square around their field of view first, as in training; it needs --size.",
)
@click.option("--tile", type=click.IntRange(64), metavar="PIXELS", help="Enhance in overlapping tiles of this side.")
@click.option(
    "--seed",
    type=click.IntRange(-(2**63), 2**63 - 1),
    default=0,
    show_default=True,
    help="Seed of the degradations of --recipe.",
)
@click.option(
    "--held-out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="RUN",
    help="Measure only the images that this run holds out.",
)
@click.option(
    "--by",
    type=click.Choice(["type", "severity"]),
    help="A table for each type of degradation, or each severity from 1 to 5 of --recipe, too.",
)
@severity_option
@click.option("--tests", is_flag=True, help="Paired t-tests, Wilcoxon tests and bootstrap intervals (needs SciPy).")
@click.option("--time", "times", is_flag=True, help="Adds the milliseconds that each METHOD takes for an image.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N images.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@click.option("--strict", is_flag=True, help="Exit with code 1 if any image failed.  [default: only if all failed]")
@click.option("--json", "json_out", type=click.Path(path_type=Path, dir_okay=False), help="Every number, as JSON.")
@click.option("--csv", "csv_out", type=click.Path(path_type=Path, dir_okay=False), help="A row per image and method.")
@click.option("--sheet", "sheet_out", type=click.Path(path_type=Path, dir_okay=False), help="Pictures of 6 images.")
@click.option(
    "--report",
    "report_out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="All of it as one HTML file.",
)
def evaluate_(
    methods: tuple[str, ...],
    source: str,
    recipe: str | None,
    changes: tuple[str, ...],
    reference: str | None,
    layout: str | None,
    masks: str | None,
    vessels: str | None,
    discs: str | None,
    labels: str | None,
    keep: str | None,
    structure: str | None,
    segmenter: str | None,
    against: Literal["truth", "reference"] | None,
    grader: str | None,
    niqe_of: str | None,
    protocol: str,
    size: int | None,
    full_size: bool,
    crop: int | None,
    prepare: str,
    tile: int | None,
    seed: int,
    held_out: Path | None,
    by: str | None,
    severity: str | None,
    tests: bool,
    times: bool,
    limit: int | None,
    device: str,
    strict: bool,
    json_out: Path | None,
    csv_out: Path | None,
    sheet_out: Path | None,
    report_out: Path | None,
) -> None:
    """Measures the images of SOURCE, unchanged and enhanced by each METHOD.

    With --recipe, good images are degraded and compared with themselves; with --reference, bad images are compared
    with good ones of the same name; pairs that exist have both; with none of these, only metrics that need no
    reference are given. Lower is better for PIQE, NIQE, FDR and ms, higher for the others. Everything is measured
    within the field of view, unless --protocol says otherwise.

    Every row is of the same images, as many as it says. Images that cannot be used are listed on stderr and, with
    their reasons, in --json; the exit code is 1 if no image can be used.
    """
    if recipe and reference:
        raise click.UsageError("--recipe makes the bad images, --reference finds the good ones: give one of them")
    if (changes or severity or by == "severity") and not recipe:
        raise click.UsageError("--set, --severity and --by severity change a setting of --recipe: give both")
    if severity and by == "severity":
        raise click.UsageError("--by severity takes all five, --severity one: give one of them")
    if sheet_out is not None:
        check_out(sheet_out)
    for out in (json_out, csv_out, sheet_out, report_out):
        if out is not None:
            check_writable(out)
    place = read_device(device)
    given = {"masks": masks, "vessels": vessels, "discs": discs}
    found, names = open_structures(source, structure, layout=layout, labels=labels, keep=keep, **given)
    found = _some(found, source, None if held_out is None else read_held_out(held_out, "--held-out"), limit)
    enhancers = {title(text, methods): open_row(text, place) for text in dict.fromkeys(methods)}
    how = read_protocol(protocol, enhancers)
    size = how.size if size is None else size
    if prepare != "none" and size is None:
        raise click.UsageError("--prepare fov needs --size, the side of the squares")
    enhancers = {name: _fitted(row, size, prepare) for name, row in enhancers.items()}
    finder = read_finder(segmenter, place)
    if finder is not None and structure is None and finder.structures:
        names = finder.structures
    failed: dict[str, str] = {}
    square: Literal["fov"] | None = "fov" if prepare == "fov" else None
    with_reference = True
    if layout is None and are_pairs(source):
        if recipe or reference:
            raise click.UsageError("SOURCE has pairs, bad images and good ones: leave --recipe and --reference out")
        cases = paired_cases(found, size=size, failed=failed, structures=names, prepare=square)
    elif recipe:
        levels = {"": severity} if by != "severity" else {str(level): str(level) for level in LEVELS}
        graded = {
            kind: synthetic_cases(
                found,
                read_recipe(recipe, changes=changes, severity=level),
                size=size,
                seed=seed,
                failed=failed,
                structures=names,
                prepare=square,
            )
            for kind, level in levels.items()
        }
        cases = graded_cases(graded, "severity") if by == "severity" else graded[""]
    else:
        good = None if reference is None else open_images(reference, "--reference")
        if good is not None and not set(good.ids) & set(found.ids):
            raise Refusal("--reference", f"{reference!r} has no image with the name of one in {source!r}")
        cases = real_cases(found, good, field_of_view, size=size, failed=failed, structures=names, prepare=square)
        with_reference = good is not None
    how = compared_with(how, against, finder, set(names) <= set(first_usable(found) or ()), with_reference)
    if crop is not None:
        cases = cropped_cases(cases, crop, failed)
    measures = Measures(
        protocol=how,
        niqe_model=read_niqe_model(niqe_of, size),
        finder=finder,
        structures=names,
        grader=read_grader(grader, place),
        times=times,
    )
    rows: dict[str, list[sheet.Cell]] = {}

    def look(case: Case, made: dict[str, Tensor], numbers: dict[str, dict[str, float]]) -> None:
        if len(rows) < 6:
            rows[case.id] = cells(case, made, numbers, "degraded" if recipe else "as it is")

    total = len(found) * (len(LEVELS) if by == "severity" else 1)
    table = evaluate(
        enhancers,
        tqdm(cases, total=total, unit="image", leave=False, disable=None),
        measures,
        device=place,
        tile=tile,
        sizes=running_sizes(enhancers, size, full_size, tile),
        look=look,
        failed=failed,
    )
    failures = Failures(list(table.failed.items()))
    if protocol != "own":
        say(f"Protocol: {how.source}")
    say(f"{len(table.ids)} images: mean ± standard deviation\n{table.text()}")
    tables = {} if by is None else table.by(by)
    for group, some in tables.items():
        say(f"\n{by} {group}: {len(some.ids)} images\n{some.text()}")
    compared = tell_tests(table) if tests else {}
    failures.tell(err=True)
    content: dict[str, Any] = {
        "images": table.ids,
        "failed": table.failed,
        "summary": table.summary(),
        "values": without_nan(table.values),
        "groups": [dict(one) for one in table.groups],
        "protocol": asdict(how),
        **({} if by is None else {f"by {by}": {group: some.summary() for group, some in tables.items()}}),
        **compared,
    }
    write_files(content, table, source, rows, json_out, csv_out, sheet_out)
    if report_out is not None:
        with told("The table above is complete: give another FILE", report_out):
            groups = {f"{by} {group}": some for group, some in tables.items()}
            report.write(report_out, source, f"Protocol: {how.source}", {"All images": table, **groups}, rows)
    sys.exit(failures.status(total, strict))


def _fitted(row: Enhancer | Results, size: int | None, prepare: str) -> Enhancer | Results:
    """A method for images of this size; results of other programs are fitted into it, but cannot be prepared."""
    if not isinstance(row, Results):
        return row
    if prepare != "none":
        raise Refusal("--prepare", f"{prepare!r}: {row.source.title} has results of the images as they are")
    return Results(row.source, size)


def _some(found: stream.Source, text: str, only: set[str] | None, limit: int | None) -> stream.Source:
    """The images that a run holds out, the first `limit` of them."""
    if only is not None:
        if not only & set(found.ids):
            raise Refusal("--held-out", f"that run has kept out no image of {text!r}")
        found = found.subset(only)
    return found if limit is None else found.subset(list(found.ids[:limit]))
