"""enhance evaluate: a table of every metric that applies, and a sheet of pictures."""

from __future__ import annotations

import json
from pathlib import Path

import click
from torch import Tensor
from tqdm import tqdm

import degrade
from cli import sheet
from cli.methods import METHOD_HELP, open_method, read_held_out
from cli.options import Refusal, check_out, read_device, read_recipe, save
from cli.sources import SOURCE_HELP
from degrade import image_io, stream
from degrade.stream.lane import FieldOfView
from enhance.evaluation import DEGRADED, Case, Segment, evaluate, real_cases, synthetic_cases
from enhance.metrics import NiqeModel, fit_niqe
from enhance.segmenter import load_segmenter


@click.command("evaluate", epilog=f"{METHOD_HELP}\n{SOURCE_HELP}")
@click.argument("methods", metavar="METHOD...", nargs=-1, required=True)
@click.argument("source")
@click.option("--recipe", metavar="NAME|FILE.toml", help="SOURCE is good: degrade it, and compare with it.")
@click.option(
    "--set",
    "changes",
    metavar="NAME=VALUE",
    multiple=True,
    help="Change a setting of --recipe, such as eta=0.4 or type=111; may be repeated.",
)
@click.option("--reference", metavar="DIR", help="SOURCE is bad: good images with the same names, to compare with.")
@click.option("--vessels", metavar="DIR", help="Vessel masks with the same names; they need --segmenter.")
@click.option(
    "--segmenter", metavar="FILE", help="A segmenter of 'enhance segmenter': adds IoU, Dice and AUC of vessels."
)
@click.option("--niqe", "niqe_of", metavar="DIR", help="Good images to fit NIQE's model to: adds NIQE.")
@click.option("--size", type=click.IntRange(32), metavar="PIXELS", help="Fit all images into squares of this side.")
@click.option("--tile", type=click.IntRange(64), metavar="PIXELS", help="Enhance in overlapping tiles of this side.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of --recipe: another seed, other degradations.")
@click.option(
    "--held-out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="RUN",
    help="Only the images that this run has kept out of its training.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N images.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@click.option("--json", "json_out", type=click.Path(path_type=Path, dir_okay=False), help="Every number, as JSON.")
@click.option("--sheet", "sheet_out", type=click.Path(path_type=Path, dir_okay=False), help="Pictures of 6 images.")
def evaluate_(
    methods: tuple[str, ...],
    source: str,
    recipe: str | None,
    changes: tuple[str, ...],
    reference: str | None,
    vessels: str | None,
    segmenter: str | None,
    niqe_of: str | None,
    size: int | None,
    tile: int | None,
    seed: int,
    held_out: Path | None,
    limit: int | None,
    device: str,
    json_out: Path | None,
    sheet_out: Path | None,
) -> None:
    """Measures the images of SOURCE as they are and as each METHOD enhances them.

    With --recipe, good images are degraded and compared with themselves; with --reference, bad images are compared
    with good ones of the same name; with neither, only metrics that need no reference are given. Higher is better for
    PSNR, SSIM, SNR, IoU, Dice, AUC; lower for PIQE and NIQE. Everything is measured within the field of view.
    """
    if recipe and reference:
        raise click.UsageError("--recipe makes the bad images, --reference finds the good ones: give one of them")
    if changes and not recipe:
        raise click.UsageError("--set changes a setting of --recipe: give both")
    if sheet_out is not None:
        check_out(sheet_out)
    place = read_device(device)
    enhancers = {_title(text, methods): open_method(text, place) for text in dict.fromkeys(methods)}
    found = _source(source, vessels, None if held_out is None else read_held_out(held_out, "--held-out"), limit)
    if recipe:
        cases = synthetic_cases(found, read_recipe(recipe, changes=changes), size=size, seed=seed)
    else:
        good = None if reference is None else _open(reference, "--reference")
        if good is not None and not set(good.ids) & set(found.ids):
            raise Refusal("--reference", f"{reference!r} has no image with the name of one in {source!r}")
        cases = real_cases(found, good, _field_of_view(found), size=size)
    rows: dict[str, list[sheet.Cell]] = {}

    def look(case: Case, made: dict[str, Tensor]) -> None:
        if len(rows) < 6:
            rows[case.id] = _cells(case, made)

    table = evaluate(
        enhancers,
        tqdm(cases, total=len(found), unit="image", leave=False, disable=None),
        niqe_model=_niqe_model(niqe_of, size),
        segment=_segment(segmenter),
        device=place,
        tile=tile,
        look=look,
    )
    click.echo(f"{len(table.ids)} images: mean ± standard deviation\n{table.text()}")
    if json_out is not None:
        content = {"images": table.ids, "summary": table.summary(), "values": table.values}
        image_io.write_bytes(json_out, json.dumps(content, indent=1).encode())
    if sheet_out is not None:
        save(sheet_out, sheet.pixels(sheet.sheet(f"{source}: as it is and enhanced", rows, 256)))


def _title(text: str, methods: tuple[str, ...]) -> str:
    """The name of a method's row: the last part of its path, or all of it where two would be equal."""
    short = Path(text).name
    return short if sum(Path(other).name == short for other in dict.fromkeys(methods)) == 1 else text


def _open(text: str, argument: str) -> stream.Source:
    try:
        return stream.open_source(text)
    except (stream.SourceError, ModuleNotFoundError) as error:
        raise Refusal(argument, str(error)) from None


def _source(text: str, vessels: str | None, only: set[str] | None, limit: int | None) -> stream.Source:
    found = _open(text, "SOURCE")
    if only is not None:
        if not only & set(found.ids):
            raise Refusal("--held-out", f"that run has kept out no image of {text!r}")
        found = found.subset(only)
    if vessels is not None:
        marked = _open(vessels, "--vessels")
        try:
            found = found.subset(set(marked.ids)).with_maps({"vessels": marked})
        except stream.SourceError as error:
            raise Refusal("--vessels", str(error)) from None
    return found if limit is None else found.subset(list(found.ids[:limit]))


def _field_of_view(found: stream.Source) -> FieldOfView | None:
    """That of a photograph for colour; the whole frame for grey."""
    colour = found.load(0)["image"].shape[0] == 3
    return degrade.fov.estimate if colour else None


def _niqe_model(folder: str | None, size: int | None) -> NiqeModel | None:
    """Fitted to the images of a folder, at the size that is measured at, within their fields of view."""
    if folder is None:
        return None
    cases = list(real_cases(good := _open(folder, "--niqe"), None, _field_of_view(good), size=size))
    patch = 96 if size is None else min(96, max(16, size // 8 * 2))
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
