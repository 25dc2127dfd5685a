"""`enhance segmenter`: train a segmenter of vessels or discs to measure enhanced photographs with."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import torch
from tqdm import tqdm

from degrade import stream
from enhance.segmenter import KINDS, make_segmenter, pack_segmenter, train_segmenter

from .failures import Failures, say
from .mapping import STRUCTURE_HELP, map_options, open_structures
from .methods import read_held_out
from .options import Refusal, read_device
from .sources import PAIRS_HELP, SOURCE_HELP
from .writable import check_writable
from .writable import keep as write


@click.command(epilog=f"{SOURCE_HELP}\n{PAIRS_HELP}")
@click.argument("source")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@map_options("layout", "masks", "vessels", "discs", "labels", "keep")
@click.option("--structure", metavar="NAME,...", help=f"{STRUCTURE_HELP} Several make one segmenter of them all.")
@click.option(
    "--network",
    type=click.Choice(KINDS),
    default="unet",
    show_default=True,
    help="unet is small; agnet, and with its guided filter agnet-guided, are for --rsp of 'enhance train magenet' too.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 10**9),
    default=600,
    show_default=True,
    help="Updates; 600 take ten minutes on a CPU.",
)
@click.option(
    "--size",
    type=click.IntRange(64, 65_536),
    default=384,
    show_default=True,
    help="Side that images are resized to, pixels.",
)
@click.option(
    "--crop", type=click.IntRange(64, 65_536), default=192, show_default=True, help="Side of the windows, pixels."
)
@click.option(
    "--width", type=click.IntRange(1, 512), help="Channels at full size.  [default: 16, of agnet 32 as published]"
)
@click.option(
    "--without",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="RUN",
    help="Leave out the images that this run holds out, for evaluation.",
)
@click.option("--seed", type=click.IntRange(-(2**63), 2**63 - 1), default=0, show_default=True)
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda|cuda:N")
@click.option("--strict", is_flag=True, help="Exit with code 1 if any image could not be used.")
def segmenter(
    source: str,
    out: Path,
    layout: str | None,
    masks: str | None,
    vessels: str | None,
    discs: str | None,
    labels: str | None,
    keep: str | None,
    structure: str | None,
    network: str,
    steps: int,
    size: int,
    crop: int,
    width: int | None,
    without: Path | None,
    seed: int,
    device: str,
    strict: bool,
) -> None:
    """Trains a segmenter of vessels, or of discs, on clean SOURCE images and writes it to OUT (.safetensors).

    'enhance evaluate --vessels DIR --segmenter OUT' measures with it how well enhanced photographs show their vessels.
    """
    if crop > size:
        raise Refusal("--crop", f"{crop}: at most the --size, {size}")
    if out.suffix != ".safetensors":
        raise Refusal("OUT", f"{str(out)!r}: its name ends in .safetensors")
    given = {"masks": masks, "vessels": vessels, "discs": discs}
    found, marked = open_structures(source, structure, layout=layout, labels=labels, keep=keep, **given)
    found = _without(found, without)
    place = read_device(device)
    width = (16 if network == "unet" else 32) if width is None else width
    with torch.random.fork_rng(devices=[]):
        check_writable(out, len(pack_segmenter(make_segmenter(network, 3, width, marked, size))))
    failed: dict[str, str] = {}
    with tqdm(total=steps, unit="step", leave=False, disable=None) as bar:

        def report(step: int, loss: float) -> None:
            bar.update()
            bar.set_postfix_str(f"loss {loss:.3f}")

        try:
            made = train_segmenter(
                found,
                structure=marked,
                network=network,
                steps=steps,
                size=size,
                crop=crop,
                width=width,
                seed=seed,
                device=place,
                report=report,
                failed=failed,
            )
        except (ValueError, stream.StreamError) as error:
            raise Refusal("SOURCE", str(error)) from None
    write(out, pack_segmenter(made))
    failures = Failures(list(failed.items()))
    failures.tell(err=True)
    say(f"segmenter written to {out}")
    sys.exit(failures.status(len(found), strict))


def _without(found: stream.Source, run: Path | None) -> stream.Source:
    """Images without those that a run holds out."""
    if run is None:
        return found
    try:
        return found.subset(set(found.ids) - read_held_out(run, "--without", everything=True))
    except stream.SourceError as error:
        raise Refusal("SOURCE", str(error)) from None
