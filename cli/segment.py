"""`enhance segment`: write masks of vessels or other structures, such as pseudo labels of photographs without any."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import torch
from torch import Tensor
from tqdm import tqdm

from degrade.files import locked
from degrade.images import image_io
from degrade.pairs.items import Item
from enhance.cases import field_of_view
from enhance.segmentation import SegmentationError, StructureFinder, find_structures, open_finder

from .failures import FAILED, FAILURES, Failures, say
from .options import Refusal, read_device, read_window, window_option
from .problems import told
from .sources import SOURCE_HELP, Source, open_source

SEGMENTER_HELP = (
    "A file of 'enhance segmenter'; or any network as FILE.pt2 (torch.export) or module:function, of images "
)
SEGMENTER_HELP += "(B, C, H, W) in [0, 1] to probabilities (B, N, H, W)."


@click.command(epilog=SOURCE_HELP)
@click.argument("source")
@click.argument("dest", type=click.Path(path_type=Path, file_okay=False))
@click.option("--segmenter", required=True, metavar="FILE|module:function", help=SEGMENTER_HELP)
@click.option(
    "--size",
    type=click.IntRange(32, 65_536),
    metavar="PIXELS",
    help="Segment at this size.  [default: that of the segmenter's training, if its file says; else each image's]",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="White from this probability on; 0 writes probabilities as grey levels.",
)
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@window_option
@click.option("--overwrite", is_flag=True, help="Replace masks in DEST.  [default: they are kept]")
@click.option("--strict", is_flag=True, help="Exit with code 1 if any image failed.  [default: only if all failed]")
def segment(
    source: str,
    dest: Path,
    segmenter: str,
    size: int | None,
    threshold: float,
    device: str,
    window: str | None,
    overwrite: bool,
    strict: bool,
) -> None:
    """Segments the images of SOURCE and writes a mask of the same name and size for each to DEST, as PNG.

    They can be given to --vessels of 'enhance train magenet', as the pseudo labels of photographs without masks. Of a
    segmenter of several structures there is a folder in DEST for each.
    """
    place = read_device(device)
    try:
        finder = open_finder(segmenter, place)
    except SegmentationError as error:
        raise Refusal("--segmenter", str(error)) from None
    found = open_source(source, read_window(window))
    if Path(source).is_dir() and dest.resolve().is_relative_to(Path(source).resolve()):
        raise Refusal("DEST", f"{str(dest)!r} is SOURCE or inside it: the masks would be taken for images")
    with told("The masks that are there are whole: the same command goes on", dest), locked(dest):
        sys.exit(_segment(finder, found, dest, size or finder.size, threshold, place, overwrite, strict))


def _segment(
    finder: StructureFinder,
    source: Source,
    dest: Path,
    size: int | None,
    threshold: float,
    place: torch.device,
    overwrite: bool,
    strict: bool,
) -> int:
    failures, written = Failures(), 0
    for item in tqdm(source.items, unit="image", leave=False, disable=None):
        try:
            masks = _masks(finder, item, size, threshold, place)
        except FAILURES as error:
            failures.add(item.source, error)
            continue
        names = finder.structures if len(finder.structures) == len(masks) else tuple(map(str, range(len(masks))))
        for name, mask in zip(names, masks, strict=True):
            out = (dest if len(masks) == 1 else dest / name) / f"{item.id}.png"
            if overwrite or not out.exists():
                image_io.write(out, image_io.to_integer(mask[None]))
                written += 1
    failures.write(dest / FAILED)
    failures.tell(dest / FAILED, 5)
    say(f"{written} masks written to {dest}")
    return failures.status(len(source.items), strict)


def _masks(finder: StructureFinder, item: Item, size: int | None, threshold: float, place: torch.device) -> Tensor:
    """(structures, H, W) in [0, 1]: black and white, or probabilities."""
    image = image_io.to_float(item.load()).to(place)
    found = find_structures(finder, image, field_of_view(image[None])[0], size).cpu()
    return found if threshold == 0 else (found >= threshold).float()
