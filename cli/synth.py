"""`degrade synth`: the command, one process's part of its run, and its report."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import NoReturn

import click
import torch
from tqdm import tqdm

from degrade.pairs import Outcome, PairsError, synthesize
from degrade.pairs.layout import FAILED
from degrade.pairs.processes import team
from degrade.pairs.shards import SHARD_SIZE, SMALLEST_SHARD
from degrade.pairs.synthesis import Format, WriterName
from degrade.stream.layouts import LAYOUTS

from . import problems
from .mapping import map_options, open_mapped
from .options import Refusal, read_device, read_recipe, read_window, recipe_options, window_option
from .sources import SOURCE_HELP, Items, Source, open_source

_SHOWN = 20


@click.command(
    epilog=f"""{SOURCE_HELP}
\b
DEST becomes
  clean/ID.png         the clean image, as it was (or at --size)
  degraded/ID_v0.png   its degraded views, v0, v1, ...
  mask/ID.png          its field of view, 255 inside
  manifest.jsonl       a line per degraded image: id, view, source, key and every parameter
  recipe.toml          the recipe and the settings of the run; --recipe reads it
  failed.jsonl         only if something failed: what and why
ID is the path of the image in SOURCE without its suffix.

\b
With --writer shards the images are in WebDataset shards instead:
  shards/000000.tar    ID.png (clean), ID.mask.png, ID.degraded_v0.png, ... and ID.json of each image

\b
Examples:
  degrade synth photographs/ pairs
  degrade synth photographs/ pairs --recipe cofe-net-paper --views 4 --size 512
  degrade synth photographs/ pairs --type 011 --set brightness=0.8 --set spot_count=0,3
  degrade synth photographs/ pairs --writer shards
  degrade synth photographs/ pairs --resume
  torchrun --nproc_per_node=4 -m degrade_cli.degrade synth photographs/ pairs
"""
)
@click.argument("source")
@click.argument("dest", type=click.Path(file_okay=False, path_type=Path))
@recipe_options
@click.option(
    "--views",
    type=click.IntRange(1, 1_000_000),
    metavar="K",
    default=1,
    show_default=True,
    help="Degraded images per image.",
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
    "--writer",
    type=click.Choice(["files", "shards"]),
    default="files",
    show_default=True,
    help="Write every image as a file, or all of them into WebDataset shards (tar files).",
)
@click.option(
    "--shard-size",
    type=click.IntRange(SMALLEST_SHARD),
    metavar="BYTES",
    default=SHARD_SIZE,
    show_default=True,
    help="The largest shard. An image that needs more, with its views, has a shard of its own.",
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
@map_options("layout", "masks", "labels", "keep")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N images.  [default: all]")
@click.option(
    "--resume",
    is_flag=True,
    help="Continue a run that was stopped; the result is the same as without. What is there is compared with SOURCE "
    "and with its checksums, and made again where it differs.",
)
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
    severity: str | None,
    views: int,
    size: int | None,
    bits: str | None,
    seed: int,
    format_: Format,
    writer: WriterName,
    shard_size: int,
    device: str,
    batch_size: int,
    workers: int | None,
    window: str | None,
    layout: str | None,
    masks: str | None,
    labels: str | None,
    keep: str | None,
    limit: int | None,
    resume: bool,
    overwrite: bool,
    strict: bool,
    max_pixels: int,
) -> None:
    """Make a data set of clean and degraded images from the images of SOURCE, in the folder DEST."""
    if resume and overwrite:
        raise click.UsageError("--resume continues and --overwrite deletes: give one of them")
    made_by = read_recipe(recipe, type_, changes, severity)
    shown = read_window(window)
    if layout or masks or labels or keep:
        given = open_mapped(
            source,
            layout=layout,
            masks=masks,
            labels=labels,
            keep=keep,
            wanted=("mask",),
            window=shown,
            max_pixels=max_pixels,
        )
        found = Source(Items(given, limit), given.others, given.path, given.left_out)
    else:
        found = open_source(source, shown, max_pixels, limit)
    with team() as us:
        on, start = read_device(device, us.local_rank), time.perf_counter()
        bar = tqdm(unit="image", disable=None if us.first else True, leave=False)
        try:
            with problems.told("What is written is whole: the same command with --resume continues", dest), bar:
                outcome = synthesize(
                    found.items.origin,
                    dest,
                    made_by,
                    views=views,
                    size=size,
                    bits=None if bits is None else 8 if bits == "8" else 16,
                    seed=seed,
                    format=format_,
                    writer=writer,
                    shard_size=shard_size,
                    window=shown,
                    masks=masks is not None or (layout is not None and "mask" in LAYOUTS[layout].maps),
                    limit=limit,
                    device=on,
                    batch_size=batch_size,
                    workers=workers,
                    resume=resume,
                    overwrite=overwrite,
                    progress=lambda done, total: _advance(bar, done, total),
                    processes=us,
                )
        except KeyboardInterrupt:
            click.echo("\nInterrupted. The same command with --resume continues.", err=True)
            sys.exit(130)
        except torch.OutOfMemoryError:
            raise click.ClickException(f"{on} is out of memory: try a smaller --batch-size") from None
        except PairsError as error:
            raise Refusal(error.argument, str(error)) from None
        if us.first:
            sys.exit(_report(dest, found, outcome, views, time.perf_counter() - start, strict))


def _advance(bar: tqdm[NoReturn], done: int, total: int) -> None:
    if bar.total != total:
        bar.reset(total)
    bar.update(done - bar.n)


def _report(dest: Path, source: Source, outcome: Outcome, views: int, seconds: float, strict: bool) -> int:
    """Print what came of the run; the exit code."""
    if outcome.written:
        rate = f"{outcome.written / seconds:.1f} images/s"
        click.echo(f"{outcome.written} images in {seconds:.1f} s ({rate}); time: {outcome.shares()}")
    if outcome.present:
        click.echo(f"{outcome.present} images were there already, whole and from the same source")
    if source.others:
        named = f": {', '.join(source.left_out[:_SHOWN])}" if source.left_out else ""
        more = ", ..." if source.left_out and source.others > min(len(source.left_out), _SHOWN) else ""
        click.echo(f"{source.others} other files ignored{named}{more}")
    failed = len(outcome.failures)
    if failed:
        click.echo(f"{failed} images failed; {dest / FAILED} lists them:")
        for item, error in outcome.failures[:_SHOWN]:
            click.echo(f"  {item.source}: {error}")
        if failed > _SHOWN:
            click.echo(f"  and {failed - _SHOWN} more")
    claimed = (outcome.claimed - failed) * views
    if outcome.pairs < claimed:
        click.echo(f"Error: {claimed} pairs were made and {outcome.pairs} are in {dest}: was it changed?", err=True)
        return 1
    where = "clean and degraded" if (dest / "clean").exists() else "shards"
    click.echo(f"{outcome.pairs} pairs are in {dest}: look into {where} there")
    return 1 if failed and (strict or failed == outcome.claimed) else 0
