"""`degrade prepare`: crop photographs to their fields of view, and put results back into full pictures."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from tqdm import tqdm

from degrade.pairs.errors import PairsError
from degrade.pairs.preparation import Outcome, prepare, undo
from degrade.stream import Source, SourceError, open_source
from degrade.stream.labels import keep_labelled

from .failures import FAILED, Failures, say
from .options import Refusal, read_window, window_option
from .problems import told
from .sources import SOURCE_HELP

_SHOWN = 5
_GO_ON = "What is written is whole: the same command goes on"


@click.command(
    "prepare",
    epilog=f"""{SOURCE_HELP}
\b
Examples:
  degrade prepare photographs/ prepared/ --size 512
  degrade prepare eyeq/train/ prepared/ --labels Label_EyeQ_train.csv --keep good
  degrade synth prepared/images pairs/ --recipe pce-net
  degrade prepare enhanced/ full/ --undo prepared/ --onto photographs/
""",
)
@click.argument("source")
@click.argument("dest", type=click.Path(path_type=Path, file_okay=False))
@click.option("--size", type=click.IntRange(32, 65_536), metavar="PIXELS", help="Side of the squares.  [default: 512]")
@click.option("--no-resize", is_flag=True, help="Leave each square at its own size.")
@click.option(
    "--mask-dir",
    "--masks",
    "masks",
    metavar="DIR",
    help="Fields of view by the names of the images, or a pattern such as 'mask/{id}_mask.gif'.  "
    "[default: they are estimated]",
)
@click.option("--labels", "--quality-csv", "labels", metavar="FILE.csv", help="Quality of each image, as EyeQ's CSVs.")
@click.option("--keep", metavar="LABEL,...", help="Labels of the images to take, such as good,usable.  [default: good]")
@click.option(
    "--undo",
    "prepared",
    metavar="PREPARED",
    type=click.Path(path_type=Path, file_okay=False),
    help="SOURCE has results for the squares in this folder, by the same names: put them back into full pictures.",
)
@click.option("--onto", metavar="SOURCE", help="With --undo: the photographs, shown outside the fields of view.")
@window_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N images.")
@click.option("--workers", type=click.IntRange(1), metavar="N", help="Threads.  [default: one per core, at least 2]")
@click.option("--overwrite", is_flag=True, help="Make images again that DEST has.  [default: they are kept]")
@click.option("--strict", is_flag=True, help="Exit with code 1 if any image failed.  [default: only if all failed]")
def prepare_command(
    source: str,
    dest: Path,
    size: int | None,
    no_resize: bool,
    masks: str | None,
    labels: str | None,
    keep: str | None,
    prepared: Path | None,
    onto: str | None,
    window: str | None,
    limit: int | None,
    workers: int | None,
    overwrite: bool,
    strict: bool,
) -> None:
    """Crops the photographs of SOURCE to the square around the field of view, and resizes it.

    DEST gets images/ID.png, masks/ID.png, and prepared.jsonl with the place of each square in its photograph. Images
    that DEST has already are passed over, so that the same command goes on after an interruption. What fails is listed
    in DEST/failed.jsonl; the exit code is 1 if everything failed.
    """
    _check(size, no_resize, masks, labels, keep, prepared, onto, limit)
    if Path(source).is_dir() and dest.resolve().is_relative_to(Path(source).resolve()):
        raise Refusal("DEST", f"{str(dest)!r} is SOURCE or inside it: the results would be taken for images")
    try:
        found = _source(source, masks, labels, keep, window)
        with told(_GO_ON, dest), tqdm(total=len(found), unit="image", leave=False, disable=None) as bar:

            def progress(done: int, total: int) -> None:
                bar.total = total
                bar.update(done - bar.n)

            if prepared is not None:
                outcome = undo(
                    found,
                    prepared,
                    dest,
                    originals=None if onto is None else _open(onto, "--onto", window),
                    overwrite=overwrite,
                    workers=workers,
                    progress=progress,
                )
            else:
                outcome = prepare(
                    found,
                    dest,
                    size=None if no_resize else size or 512,
                    overwrite=overwrite,
                    limit=limit,
                    workers=workers,
                    progress=progress,
                )
    except KeyboardInterrupt:
        say("\nInterrupted. The same command goes on.", err=True)
        sys.exit(130)
    except PairsError as error:
        raise Refusal(
            {"size": "--size", "prepared": "--undo"}.get(error.argument, error.argument), str(error)
        ) from None
    with told(_GO_ON, dest):
        sys.exit(_report(outcome, dest, strict))


def _check(
    size: int | None,
    no_resize: bool,
    masks: str | None,
    labels: str | None,
    keep: str | None,
    prepared: Path | None,
    onto: str | None,
    limit: int | None,
) -> None:
    """Refuse options that contradict each other."""
    if size is not None and no_resize:
        raise click.UsageError("--size resizes and --no-resize does not: give one of them")
    if keep is not None and labels is None:
        raise click.UsageError("--keep chooses by --labels: give both")
    if onto is not None and prepared is None:
        raise click.UsageError("--onto belongs to --undo")
    if prepared is not None and (size or no_resize or masks or labels or limit):
        raise click.UsageError("--undo takes sizes, places and masks from its folder: leave the other options out")


def _source(text: str, masks: str | None, labels: str | None, keep: str | None, window: str | None) -> Source:
    found = _open(text, "SOURCE", window)
    if labels is not None:
        try:
            found = keep_labelled(found, labels, keep or "good")
        except SourceError as error:
            raise Refusal("--labels", str(error)) from None
    if masks is not None:
        try:
            found = found.with_maps({"mask": open_source(masks)})
        except (SourceError, ModuleNotFoundError) as error:
            raise Refusal("--mask-dir", str(error)) from None
    return found


def _open(text: str, argument: str, window: str | None) -> Source:
    try:
        return open_source(text, window=read_window(window))
    except (SourceError, ModuleNotFoundError) as error:
        raise Refusal(argument, str(error)) from None


def _report(outcome: Outcome, dest: Path, strict: bool) -> int:
    """Print what came of it; the exit status."""
    failures = Failures(outcome.failures)
    failures.write(dest / FAILED)
    if outcome.present:
        say(f"{outcome.present} images were there already")
    failures.tell(dest / FAILED, _SHOWN)
    say(f"{outcome.written} images written to {dest}")
    return failures.status(outcome.written + outcome.present + len(failures), strict)
