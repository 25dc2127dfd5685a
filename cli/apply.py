"""`enhance apply`: enhance a folder of images."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import click
import torch
from torch import Tensor
from tqdm import tqdm

import degrade
from degrade.files import locked
from degrade.images import dicom_write, image_io
from degrade.images.dicom import is_dicom
from degrade.ops.constants import SMALLEST_SIDE
from degrade.pairs.items import Item
from enhance.inference import Precision, enhance_image

from .failures import FAILED, FAILURES, Failures, is_about_name, say
from .methods import METHOD_HELP, open_method
from .options import Refusal, read_device, read_window, window_option
from .problems import told
from .running_size import running_sizes
from .sources import SOURCE_HELP, Source, open_source

_SHOWN, _HEAD = 5, 132


@click.command(epilog=f"{METHOD_HELP}\n{SOURCE_HELP}")
@click.argument("method")
@click.argument("source")
@click.argument("dest", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--size",
    type=click.IntRange(32, 65_536),
    metavar="PIXELS",
    help="Enhance at this size, as in training, and scale the result back.  [default: the size of the network's "
    "training, if it had one; else that of each image]",
)
@click.option(
    "--full-size", is_flag=True, help="Enhance at the size of each image, whatever the network's training had."
)
@click.option(
    "--prepare",
    type=click.Choice(["none", "fov"]),
    default="none",
    show_default=True,
    help="fov: crop photographs to the square around their field of view, enhance that, at --size if it is given, and "
    "put it back into the full picture.",
)
@click.option(
    "--tile",
    type=click.IntRange(64),
    metavar="PIXELS",
    help="Enhance in overlapping tiles of this side.  [default: the whole image; tiles if GPU memory is too small]",
)
@click.option(
    "--whole-frame",
    is_flag=True,
    help="Enhance all of a color image.  [default: outside the field of view of a photograph nothing is changed]",
)
@click.option("--precision", type=click.Choice(["32", "bf16", "16"]), default="32", show_default=True)
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["png", "dicom"]),
    default="png",
    show_default=True,
    help="dicom: Secondary Captures with identifiers of their own, as derived images, without the patient.",
)
@click.option(
    "--keep-patient", is_flag=True, help="With --format dicom: copy patient and study of each image that is DICOM."
)
@window_option
@click.option("--overwrite", is_flag=True, help="Replace images in DEST.  [default: they are kept]")
@click.option("--strict", is_flag=True, help="Exit with code 1 if any image failed.  [default: only if all failed]")
def apply(
    method: str,
    source: str,
    dest: Path,
    size: int | None,
    full_size: bool,
    prepare: str,
    tile: int | None,
    whole_frame: bool,
    precision: Precision,
    device: str,
    format_: str,
    keep_patient: bool,
    window: str | None,
    overwrite: bool,
    strict: bool,
) -> None:
    """Enhances the images of SOURCE by METHOD and writes them to DEST as PNG, or as DICOM.

    Size and bit depth stay as they are. Images that DEST has already are passed over, so that the same command goes
    on after an interruption. What fails is listed in DEST/failed.jsonl; the exit code is 1 if everything failed.
    """
    if keep_patient and format_ != "dicom":
        raise Refusal("--keep-patient", "PNG has no place for a patient: give --format dicom, or leave it out")
    place = read_device(device)
    enhancer = open_method(method, place)
    found = open_source(source, read_window(window))
    size = running_sizes({Path(method).name: enhancer}, size, full_size, tile).get(Path(method).name, size)
    if Path(source).is_dir() and dest.resolve().is_relative_to(Path(source).resolve()):
        raise Refusal("DEST", f"{str(dest)!r} is SOURCE or inside it: the results would be taken for images")

    def enhanced(item: Item) -> Tensor:
        image = item.load()
        photograph = image.shape[0] == 3 and not whole_frame and min(image.shape[1:]) >= SMALLEST_SIDE
        return enhance_image(
            enhancer,
            image,
            field_of_view=degrade.fov.estimate if photograph else None,
            size=size,
            prepare="fov" if prepare == "fov" else None,
            tile=tile,
            overlap=64 if tile is None else tile // 4,
            device=place,
            precision=precision,
        )

    def written(item: Item, image: Tensor) -> bytes:
        if format_ == "png":
            return image_io.encode(image, "png")
        return _as_dicom(item, image, f"enhanced by {Path(method).name}", keep_patient)

    suffix = ".png" if format_ == "png" else ".dcm"
    try:
        with told("The images that are there are whole: the same command goes on", dest), locked(dest):
            sys.exit(_apply(enhanced, written, suffix, found, dest, overwrite, strict))
    except torch.OutOfMemoryError:
        raise click.ClickException(f"{place} is out of memory: try --tile 512") from None


def _apply(
    enhanced: Callable[[Item], Tensor],
    encoded: Callable[[Item, Tensor], bytes],
    suffix: str,
    source: Source,
    dest: Path,
    overwrite: bool,
    strict: bool,
) -> int:
    """Enhance all images; return the exit status."""
    failures, written, present = Failures(), 0, 0
    for item in tqdm(source.items, unit="image", leave=False, disable=None):
        try:
            out = dest / f"{item.id}{suffix}"
            if not overwrite and out.exists():
                present += 1
                continue
            image = _made(enhanced, item)
            image_io.write_bytes(out, encoded(item, image))
            written += 1
        except torch.OutOfMemoryError:
            raise
        except FAILURES as error:
            failures.add(item.source, error)
        except OSError as error:
            if not is_about_name(error):
                raise
            failures.add(item.source, f"its name cannot be used in DEST: {error.strerror or error}")
    failures.write(dest / FAILED)
    if present:
        say(f"{present} images were there already")
    failures.tell(dest / FAILED, _SHOWN)
    say(f"{written} images written to {dest}")
    return failures.status(len(source.items), strict)


def _as_dicom(item: Item, image: Tensor, derivation: str, keep_patient: bool) -> bytes:
    """The bytes of a DICOM file; color of 16 bits is rounded to 8, which is all that DICOM holds."""
    if image.shape[0] == 3 and image.dtype == torch.uint16:
        image = image_io.to_integer(image_io.to_float(image))
    if not keep_patient:
        return dicom_write.encode(image, derivation, item.id)
    path = item.origin.file(item.index)
    with open(path, "rb") if path is not None else nullcontext() as original:
        if original is not None and not is_dicom(original.read(_HEAD)):
            original = None
        return dicom_write.encode(image, derivation, item.id, original)


def _made(enhanced: Callable[[Item], Tensor], item: Item) -> Tensor:
    """Enhance one image. A file that cannot be read counts as a failure of that image, not of the output disk."""
    try:
        return enhanced(item)
    except OSError as error:
        raise image_io.ImageError(f"cannot be read: {error.strerror or error}") from None
