"""`enhance evaluate`: a table of all metrics that apply, and a sheet of pictures."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Literal

import click
from torch import Tensor
from tqdm import tqdm

from degrade import stream
from degrade.files import write_bytes
from degrade.images import image_io
from degrade.pairs.existing import are_pairs
from enhance.evaluation import (
    DEGRADED,
    Case,
    Segment,
    Table,
    evaluate,
    field_of_view,
    paired_cases,
    real_cases,
    synthetic_cases,
)
from enhance.metrics import NiqeModel, fit_niqe
from enhance.segmenter import load_segmenter

from . import sheet
from .failures import Failures, say
from .mapping import STRUCTURE_HELP, map_options, open_structures
from .methods import METHOD_HELP, open_method, read_held_out
from .options import Refusal, check_out, read_device, read_recipe
from .problems import told
from .sources import PAIRS_HELP, SOURCE_HELP
from .writable import check_writable


@click.command("evaluate", epilog=f"{METHOD_HELP}\n{SOURCE_HELP}\n{PAIRS_HELP}")
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
@click.option("--structure", metavar="NAME", help=STRUCTURE_HELP)
@click.option(
    "--segmenter", metavar="FILE", help="A segmenter of 'enhance segmenter': adds IoU, Dice and AUC of vessels."
)
@click.option("--niqe", "niqe_of", metavar="DIR", help="Good images to fit NIQE's model to: adds NIQE.")
@click.option(
    "--size", type=click.IntRange(32, 65_536), metavar="PIXELS", help="Fit all images into squares of this side."
)
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
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N images.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@click.option("--strict", is_flag=True, help="Exit with code 1 if any image failed.  [default: only if all failed]")
@click.option("--json", "json_out", type=click.Path(path_type=Path, dir_okay=False), help="Every number, as JSON.")
@click.option("--sheet", "sheet_out", type=click.Path(path_type=Path, dir_okay=False), help="Pictures of 6 images.")
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
    niqe_of: str | None,
    size: int | None,
    prepare: str,
    tile: int | None,
    seed: int,
    held_out: Path | None,
    limit: int | None,
    device: str,
    strict: bool,
    json_out: Path | None,
    sheet_out: Path | None,
) -> None:
    """Measures the images of SOURCE, unchanged and enhanced by each METHOD.

    With --recipe, good images are degraded and compared with themselves; with --reference, bad images are compared
    with good ones of the same name; pairs that exist have both; with none of these, only metrics that need no
    reference are given. Higher is better for PSNR, SSIM, SNR, IoU, Dice, AUC; lower for PIQE and NIQE. Everything is
    measured within the field of view.

    Every row is of the same images, as many as it says. Images that cannot be used are listed on stderr and, with
    their reasons, in --json; the exit code is 1 if no image can be used.
    """
    if recipe and reference:
        raise click.UsageError("--recipe makes the bad images, --reference finds the good ones: give one of them")
    if changes and not recipe:
        raise click.UsageError("--set changes a setting of --recipe: give both")
    if sheet_out is not None:
        check_out(sheet_out)
    for out in (json_out, sheet_out):
        if out is not None:
            check_writable(out)
    if prepare != "none" and size is None:
        raise click.UsageError("--prepare fov needs --size, the side of the squares")
    place = read_device(device)
    enhancers = {_title(text, methods): open_method(text, place) for text in dict.fromkeys(methods)}
    segment = _segment(segmenter)
    given = {"masks": masks, "vessels": vessels, "discs": discs}
    found, names = open_structures(source, structure, layout=layout, labels=labels, keep=keep, **given)
    marked = names[0]
    found = _some(found, source, None if held_out is None else read_held_out(held_out, "--held-out"), limit)
    failed: dict[str, str] = {}
    crop: Literal["fov"] | None = "fov" if prepare == "fov" else None
    if layout is None and are_pairs(source):
        if recipe or reference:
            raise click.UsageError("SOURCE has pairs, bad images and good ones: leave --recipe and --reference out")
        cases = paired_cases(found, size=size, failed=failed, structure=marked, prepare=crop)
    elif recipe:
        cases = synthetic_cases(
            found,
            read_recipe(recipe, changes=changes),
            size=size,
            seed=seed,
            failed=failed,
            structure=marked,
            prepare=crop,
        )
    else:
        good = None if reference is None else _open(reference, "--reference")
        if good is not None and not set(good.ids) & set(found.ids):
            raise Refusal("--reference", f"{reference!r} has no image with the name of one in {source!r}")
        cases = real_cases(found, good, field_of_view, size=size, failed=failed, structure=marked, prepare=crop)
    rows: dict[str, list[sheet.Cell]] = {}

    def look(case: Case, made: dict[str, Tensor]) -> None:
        if len(rows) < 6:
            rows[case.id] = _cells(case, made)

    table = evaluate(
        enhancers,
        tqdm(cases, total=len(found), unit="image", leave=False, disable=None),
        niqe_model=_niqe_model(niqe_of, size),
        segment=segment,
        device=place,
        tile=tile,
        look=look,
        failed=failed,
    )
    failures = Failures(list(table.failed.items()))
    say(f"{len(table.ids)} images: mean ± standard deviation\n{table.text()}")
    failures.tell(err=True)
    _write(table, source, rows, json_out, sheet_out)
    sys.exit(failures.status(len(found), strict))


def _write(
    table: Table, source: str, rows: dict[str, list[sheet.Cell]], json_out: Path | None, sheet_out: Path | None
) -> None:
    """Write the JSON file and the sheet, if asked for; the table has been printed."""
    go_on = "The table above is complete: give another FILE"
    if json_out is not None:
        content = {
            "images": table.ids,
            "failed": table.failed,
            "summary": table.summary(),
            "values": table.values,
        }
        with told(go_on, json_out):
            write_bytes(json_out, json.dumps(content, indent=1).encode())
    if sheet_out is not None and rows:
        with told(go_on, sheet_out):
            image_io.write(sheet_out, sheet.pixels(sheet.sheet(f"{source}: as it is and enhanced", rows, 256)))


def _title(text: str, methods: tuple[str, ...]) -> str:
    """Name of a method's row: the last part of its path, or the whole path where two would be equal."""
    short = Path(text).name
    return short if sum(Path(other).name == short for other in dict.fromkeys(methods)) == 1 else text


def _open(text: str, argument: str) -> stream.Source:
    try:
        return stream.open_source(text)
    except (stream.SourceError, ModuleNotFoundError) as error:
        raise Refusal(argument, str(error)) from None


def _some(found: stream.Source, text: str, only: set[str] | None, limit: int | None) -> stream.Source:
    """The images that a run holds out, the first `limit` of them."""
    if only is not None:
        if not only & set(found.ids):
            raise Refusal("--held-out", f"that run has kept out no image of {text!r}")
        found = found.subset(only)
    return found if limit is None else found.subset(list(found.ids[:limit]))


def _niqe_model(folder: str | None, size: int | None) -> NiqeModel | None:
    """Fit NIQE's model to the images of a folder, at the size of the evaluation, within their fields of view."""
    if folder is None:
        return None
    failed: dict[str, str] = {}
    cases = list(real_cases(_open(folder, "--niqe"), None, field_of_view, size=size, failed=failed))
    Failures(list(failed.items())).tell(err=True, what="images of --niqe")
    patch = 96 if size is None else min(96, max(16, size // 8 * 2))
    if not cases:
        raise Refusal("--niqe", f"no image of {folder!r} can be used")
    try:
        return fit_niqe([case.image[None] for case in cases], [case.mask[None] for case in cases], patch)
    except ValueError as error:
        raise Refusal("--niqe", str(error)) from None


def _segment(path: str | None) -> Segment | None:
    if path is None:
        return None
    try:
        return load_segmenter(path).segment
    except ValueError as error:
        raise Refusal("--segmenter", str(error)) from None


def _cells(case: Case, made: dict[str, Tensor]) -> list[sheet.Cell]:
    images = dict(made) if case.reference is None else {**made, "reference": case.reference}
    return [
        sheet.Cell("methods", "as it is" if name == DEGRADED else name, image_io.resize(image, 256))
        for name, image in images.items()
    ]
