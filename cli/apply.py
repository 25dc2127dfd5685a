"""enhance apply: a folder of images, enhanced."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import torch
from tqdm import tqdm

import degrade
from cli.methods import METHOD_HELP, open_method
from cli.options import Refusal, read_device, read_window, window_option
from cli.sources import SOURCE_HELP, Item, open_source
from degrade import image_io
from enhance.inference import Enhancer, Precision, enhance_image

_FAILURES = (image_io.ImageError, ValueError, RuntimeError, MemoryError)
_SHOWN = 5


@click.command(epilog=f"{METHOD_HELP}\n{SOURCE_HELP}")
@click.argument("method")
@click.argument("source")
@click.argument("dest", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--size",
    type=click.IntRange(32),
    metavar="PIXELS",
    help="Enhance at this size, that of the training, and scale the result back.  [default: at each image's own]",
)
@click.option(
    "--tile",
    type=click.IntRange(64),
    metavar="PIXELS",
    help="Work in overlapping tiles of this side.  [default: the image as a whole, tiles if the GPU's memory is short]",
)
@click.option(
    "--whole-frame",
    is_flag=True,
    help="Enhance all of a colour image.  [default: outside the field of view of a photograph nothing is changed]",
)
@click.option("--precision", type=click.Choice(["32", "bf16", "16"]), default="32", show_default=True)
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@window_option
@click.option("--overwrite", is_flag=True, help="Write over images that DEST has already.  [default: they are kept]")
def apply(
    method: str,
    source: str,
    dest: Path,
    size: int | None,
    tile: int | None,
    whole_frame: bool,
    precision: Precision,
    device: str,
    window: str | None,
    overwrite: bool,
) -> None:
    """Enhances the images of SOURCE by METHOD and writes them to DEST as PNG.

    Size and bit depth stay as they are. Images that DEST has already are passed over, so that the same command goes
    on after an interruption. What fails is listed in DEST/failed.jsonl; the exit code is 1 if everything failed.
    """
    place = read_device(device)
    enhancer = open_method(method, place)
    items = open_source(source, read_window(window)).items
    if Path(source).is_dir() and dest.resolve().is_relative_to(Path(source).resolve()):
        raise Refusal("DEST", f"{str(dest)!r} is SOURCE or inside it: the results would be taken for images")
    failures, written, present = [], 0, 0
    for item in tqdm(items, unit="image", leave=False, disable=None):
        out = dest / f"{item.id}.png"
        if out.exists() and not overwrite:
            present += 1
            continue
        try:
            enhanced = _enhanced(enhancer, item, size, tile, whole_frame, place, precision)
        except torch.OutOfMemoryError:
            raise click.ClickException(f"{place} is out of memory: try --tile 512") from None
        except _FAILURES as error:
            failures.append((item, " ".join(str(error).split()) or type(error).__name__))
            continue
        image_io.write(out, enhanced)
        written += 1
    _report(dest, written, present, failures)
    sys.exit(1 if failures and len(failures) == len(items) else 0)


def _enhanced(
    enhancer: Enhancer,
    item: Item,
    size: int | None,
    tile: int | None,
    whole_frame: bool,
    device: torch.device,
    precision: Precision,
) -> torch.Tensor:
    image = item.load()
    photograph = image.shape[0] == 3 and not whole_frame and min(image.shape[1:]) >= degrade.base.SMALLEST_SIDE
    return enhance_image(
        enhancer,
        image,
        field_of_view=degrade.fov.estimate if photograph else None,
        size=size,
        tile=tile,
        overlap=64 if tile is None else tile // 4,
        device=device,
        precision=precision,
    )


def _report(dest: Path, written: int, present: int, failures: list[tuple[Item, str]]) -> None:
    listing = dest / "failed.jsonl"
    listing.unlink(missing_ok=True)
    if present:
        click.echo(f"{present} images were there already")
    if failures:
        lines = (json.dumps({"source": item.source, "error": error}, ensure_ascii=False) for item, error in failures)
        image_io.write_bytes(listing, "".join(f"{line}\n" for line in lines).encode())
        click.echo(f"{len(failures)} images failed; {listing} lists them:")
        for item, error in failures[:_SHOWN]:
            click.echo(f"  {item.source}: {error}")
    click.echo(f"{written} images written to {dest}")
