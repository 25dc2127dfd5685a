"""`degrade synth`: the command, one process's part of its run, and its report."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click
import torch
from tqdm import tqdm

from cli import manifest
from cli.dataset import DataSet
from cli.options import read_device, read_recipe, read_window, recipe_options, window_option
from cli.pipeline import Outcome, Plan, synthesise
from cli.processes import Team, cores, team
from cli.sources import SOURCE_HELP, Source, open_source

_SHOWN = 20


@click.command(
    epilog=f"""{SOURCE_HELP}
\b
DEST becomes
  clean/ID.png         the good image, as it was (or at --size)
  degraded/ID_v0.png   its degraded views, v0, v1, ...
  mask/ID.png          its field of view, 255 inside
  manifest.jsonl       a line per degraded image: id, view, source, key and every parameter
  recipe.toml          the recipe and the settings of the run; --recipe reads it
  failed.jsonl         only if something failed: what and why
ID is the path of the image in SOURCE without its suffix.

\b
Examples:
  degrade synth photographs/ pairs
  degrade synth photographs/ pairs --recipe cofe-net-paper --views 4 --size 512
  degrade synth photographs/ pairs --type 011 --set brightness=0.8 --set spot_count=0,3
  degrade synth photographs/ pairs --resume
  torchrun --nproc_per_node=4 -m cli.degrade synth photographs/ pairs
"""
)
@click.argument("source")
@click.argument("dest", type=click.Path(file_okay=False, path_type=Path))
@recipe_options
@click.option(
    "--views", type=click.IntRange(1), metavar="K", default=1, show_default=True, help="Degraded images per image."
)
@click.option(
    "--size",
    type=click.IntRange(32),
    metavar="PIXELS",
    help="Fit every image into a square of this side, padded with black.  [default: images keep their size]",
)
@click.option(
    "--bits",
    type=click.Choice(["8", "16"]),
    help="Of every channel of every image.  [default: as the image has them; jpeg and webp have 8]",
)
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="Another seed, other degradations.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "jpeg", "webp"]),
    default="png",
    show_default=True,
    help="Of the degraded images. png is lossless and keeps 16 bits; jpeg and webp are written at quality 95.",
)
@click.option(
    "--device",
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda|cuda:N",
    help="Where images are degraded. auto: the GPU if there is one.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    metavar="N",
    default=16,
    show_default=True,
    help="Images of one shape that a GPU works on at once; a CPU takes one at a time.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    metavar="THREADS",
    help="Threads that decode, encode and, on a CPU, degrade.  [default: the number of cores, at least 2]",
)
@window_option
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N images.  [default: all]")
@click.option("--resume", is_flag=True, help="Continue a run that was stopped; the result is the same as without.")
@click.option("--overwrite", is_flag=True, help="Delete the data set in DEST first, and nothing else.")
@click.option("--strict", is_flag=True, help="Exit with code 1 if any image failed.  [default: only if all failed]")
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    metavar="N",
    default=100_000_000,
    show_default=True,
    help="Images with more pixels (width x height) fail instead of filling the memory.",
)
def synth(
    source: str,
    dest: Path,
    recipe: str,
    type_: str | None,
    changes: tuple[str, ...],
    views: int,
    size: int | None,
    bits: str | None,
    seed: int,
    format_: str,
    device: str,
    batch_size: int,
    workers: int | None,
    window: str | None,
    limit: int | None,
    resume: bool,
    overwrite: bool,
    strict: bool,
    max_pixels: int,
) -> None:
    """Makes a data set of clean and degraded images from the images of SOURCE, in the folder DEST."""
    if resume and overwrite:
        raise click.UsageError("--resume continues and --overwrite deletes: give one of them")
    made_by = read_recipe(recipe, type_, changes)
    found = open_source(source, read_window(window), max_pixels)
    found = Source(found.items[:limit], found.others, found.path)
    dataset = DataSet(dest, made_by, seed, views, size or 0, int(bits or 0), format_)
    with team() as us:
        plan = Plan(read_device(device, us.local_rank), batch_size, workers or max(2, cores()))
        try:
            sys.exit(_synth(dataset, found, plan, us, resume=resume, overwrite=overwrite, strict=strict))
        except KeyboardInterrupt:
            click.echo("\nInterrupted. The same command with --resume continues.", err=True)
            sys.exit(130)
        except torch.OutOfMemoryError:
            raise click.ClickException(f"{plan.device} is out of memory: try a smaller --batch-size") from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            message = f"{where}{error.strerror or error}. The same command with --resume continues."
            raise click.ClickException(message) from None


def _synth(
    dataset: DataSet, source: Source, plan: Plan, us: Team, *, resume: bool, overwrite: bool, strict: bool
) -> int:
    """The run of one process; its exit code."""
    start = time.perf_counter()
    problem: click.ClickException | None = None
    if us.first:
        try:
            dataset.prepare(source, resume=resume, overwrite=overwrite)
        except click.ClickException as error:
            problem = error
    refused = us.tell(problem is not None)
    if problem is not None:
        raise problem
    if refused:
        return 2
    lines = manifest.index(dataset.root)
    share = us.share(source.items)
    todo = [item for item in share if not dataset.is_done(item, lines)]
    bar = tqdm(
        total=len(share), initial=len(share) - len(todo), unit="image", disable=None if us.first else True, leave=False
    )
    with bar, manifest.open_part(dataset.root, us.rank) as part:
        outcome = synthesise(dataset, todo, plan, part, bar.update)
    outcomes = us.gather(outcome)
    if not us.first:
        return 0
    outcome = _sum_of(outcomes)
    outcome.failures.sort(key=lambda failure: failure[0].index)
    failed = {item for item, _ in outcome.failures}
    pairs = manifest.merge(dataset.root, (item for item in source.items if item not in failed), dataset.keys)
    dataset.write_failures(outcome.failures)
    _report(dataset, source, outcome, pairs, time.perf_counter() - start)
    return 1 if failed and (strict or len(failed) == len(source.items)) else 0


def _sum_of(outcomes: list[Outcome]) -> Outcome:
    """What all processes did together."""
    total = Outcome()
    for outcome in outcomes:
        total += outcome
    return total


def _report(dataset: DataSet, source: Source, outcome: Outcome, pairs: int, seconds: float) -> None:
    if outcome.written:
        rate = f"{outcome.written / seconds:.1f} images/s"
        click.echo(f"{outcome.written} images in {seconds:.1f} s ({rate}); time: {outcome.shares()}")
    already = len(source.items) - outcome.written - len(outcome.failures)
    if already:
        click.echo(f"{already} images were there already")
    if source.others:
        click.echo(f"{source.others} other files ignored")
    if outcome.failures:
        click.echo(f"{len(outcome.failures)} images failed; {dataset.root / 'failed.jsonl'} lists them:")
        for item, error in outcome.failures[:_SHOWN]:
            click.echo(f"  {item.source}: {error}")
        if len(outcome.failures) > _SHOWN:
            click.echo(f"  and {len(outcome.failures) - _SHOWN} more")
    click.echo(f"{pairs} pairs are in {dataset.root}: look into clean and degraded there")
